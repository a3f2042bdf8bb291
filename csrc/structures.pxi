# The instructions of program.h, as the assembler sees them.

cdef extern from "program.h":
    ctypedef struct ad_pool:
        size_t bytes
    void* ad_pool_take(ad_pool*, size_t) noexcept
    void ad_pool_free(ad_pool*) noexcept
    ctypedef int (*ad_execute)(void*) noexcept nogil
    ctypedef void (*ad_do_parts)(void*, ptrdiff_t, ptrdiff_t, int) noexcept nogil
    ctypedef struct ad_parts:
        ad_do_parts run
        ptrdiff_t n
    int ad_execute_parts(void*) noexcept nogil
    ctypedef struct ad_instruction:
        ad_execute execute
        void* parameters
    enum:
        AD_RUN_BLOCK
        AD_RUN_AXES
    ctypedef struct ad_micro:
        ad_map map
        ptrdiff_t n
        const double* operand[3]
        ptrdiff_t step[3]
        double* z
    ctypedef struct ad_block:
        ptrdiff_t n_micros
        ad_micro* micros
    ctypedef struct ad_view:
        double* base
        ptrdiff_t stride[AD_RUN_AXES]
        double* scratch
        ptrdiff_t step
        bint reads, writes, roomy, loose
    ctypedef struct ad_fused:
        ad_map map
        ptrdiff_t place[3]
        ptrdiff_t z
        ptrdiff_t step[3]
        bint pads
    ctypedef struct ad_run:
        ad_parts parts
        ptrdiff_t size[AD_RUN_AXES]
        ptrdiff_t block_rows, block_cols, n_views, n_micros, n_registers
        ad_view* views
        ad_fused* micros
        double** at
        double** place
    ctypedef struct ad_copy:
        ad_parts parts
        void (*rows)(
            ptrdiff_t, ptrdiff_t, const double*, ptrdiff_t, double*, ptrdiff_t
        ) noexcept nogil
        ptrdiff_t size[AD_RUN_AXES]
        ptrdiff_t x_step[AD_RUN_AXES]
        ptrdiff_t z_step[AD_RUN_AXES]
        const double* x
        double* z
    ctypedef struct ad_product:
        ad_parts parts
        ad_gemm gemm
        ptrdiff_t m, n, k, lda, ldb, ldc
        double alpha, beta
        const double* scale
        const double* a
        const double* b
        double* c
        int ta, tb
        ptrdiff_t axes
        ptrdiff_t* size
        ptrdiff_t* at
        ptrdiff_t* step[3]
    ctypedef struct ad_reduction:
        ad_parts parts
        ad_reduce reduce
        ptrdiff_t a, r, b
        const double* x
        double* z
    ctypedef struct ad_row_map:
        ad_parts parts
        ad_rows map
        ptrdiff_t rows, n, z_row
        const double* x
        double* z
    ctypedef struct ad_row_list:
        ptrdiff_t n_rows, row_size, n
        const double* x
        const double* rows
        double* z
    int ad_execute_nothing(void*) noexcept nogil
    int ad_execute_block(void*) noexcept nogil
    int ad_execute_run(void*) noexcept nogil
    int ad_execute_copy(void*) noexcept nogil
    int ad_execute_product(void*) noexcept nogil
    int ad_execute_products(void*) noexcept nogil
    int ad_execute_reduction(void*) noexcept nogil
    int ad_execute_row_map(void*) noexcept nogil
    int ad_execute_take(void*) noexcept nogil
    int ad_execute_scatter(void*) noexcept nogil
    int ad_run_plan(ad_run*, int) noexcept
    void ad_run_pad(ad_run*) noexcept
    bint ad_run_is_block(const ad_run*) noexcept
    void ad_run_cut(ad_run*, double) noexcept
    void ad_copy_cut(ad_copy*) noexcept
    void ad_product_cut(ad_product*, const ad_cut*) noexcept
    void ad_reduction_cut(ad_reduction*) noexcept
    void ad_row_map_cut(ad_row_map*) noexcept
