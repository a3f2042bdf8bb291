# From the tuples that describe a program to the structures that the loop runs over.
#
# Everything is checked here: names, numbers of operands, sizes, and that every access lies
# inside its space and writes only where it may. Nothing can go wrong in the loop but a row
# number.

import cython

include "structures.pxi"

# Of maps that take longer than an addition, in the cache, how many times as long.
cdef dict STEPS = {
    "divide": 3, "sqrt": 4, "_sqrt_slope": 3, "exp": 5, "expm1": 8, "_sigmoid_slope": 2,
    "log": 6, "_log1p_slope": 3, "log1p": 8, "tanh": 7, "sigmoid": 7, "softplus": 12,
    "_softplus_slope": 8, "sin": 10, "_sin_slope": 10, "cos": 10, "_cos_slope": 10, "power": 50,
    "float_power": 50,
}


cdef struct Space:
    double* data      # NULL: an argument, which each call brings
    Py_ssize_t size
    bint writable


@cython.overflowcheck(True)
cdef int find_extent(
    Py_ssize_t axes, const ptrdiff_t* size, const ptrdiff_t* stride, Py_ssize_t* low,
    Py_ssize_t* high
) except -1:
    """The offsets low <= i < high that a loop of these strides visits."""
    cdef Py_ssize_t i, way
    low[0] = high[0] = 0
    for i in range(axes):
        if size[i] == 0:
            return 0
    for i in range(axes):
        way = (size[i] - 1) * stride[i]
        if way < 0:
            low[0] = low[0] + way
        else:
            high[0] = high[0] + way
    high[0] = high[0] + 1
    return 0


@cython.overflowcheck(True)
cdef Py_ssize_t times(Py_ssize_t x, Py_ssize_t y) except? -1:
    return x * y


cdef Py_ssize_t read_size(object size) except -1:
    cdef Py_ssize_t n = size
    if n < 0:
        raise ValueError(f"a size is negative: {n}")
    return n


cdef class Assembler:
    """Fills instructions; see Program for what their tuples say.

    pool : where the structures live, and the registers.
    patches : of each argument, a list of (address of a pointer, offset).
    """

    cdef ad_pool* pool
    cdef const ad_kernels* kernels
    cdef Space* spaces
    cdef Py_ssize_t n_spaces, n_arguments
    cdef list patches
    cdef list registers  # addresses
    cdef dict maps       # by name: (address, letters of the operands)

    cdef int note_maps(self, const ad_elementwise* entry) except -1:
        """The maps of one op: forward by its name, backward as "_name_slope"."""
        name = entry.name.decode()
        self.maps[name] = <size_t>entry.forward.map, <bytes>entry.forward.reads
        if entry.arity == 1 and entry.backward[0].map != NULL:
            self.maps[f"_{name}_slope"] = (
                <size_t>entry.backward[0].map, <bytes>entry.backward[0].reads)
        return 0

    cdef void* take(self, size_t size) except NULL:
        cdef void* taken = ad_pool_take(self.pool, size)
        if taken == NULL:
            raise MemoryError
        return taken

    cdef double* register_of(self, Py_ssize_t i) except NULL:
        """Scratch for one block; one line more than that, so that two registers do not
        begin at the same place of a page."""
        while i >= len(self.registers):
            self.registers.append(<size_t>self.take((AD_RUN_BLOCK + 8) * sizeof(double)))
        return <double*><size_t>self.registers[i]

    cdef const Space* find(
        self, object operand, Py_ssize_t low, Py_ssize_t high, bint writes
    ) except NULL:
        """The space of an operand, of which low <= i < high may be accessed."""
        cdef Py_ssize_t space, offset
        space, offset = operand
        if space < 0 or space >= self.n_spaces:
            raise ValueError(f"there is no space {space}")
        cdef const Space* found = &self.spaces[space]
        if (offset < 0 or offset > found.size or low < -offset
                or high > found.size - offset):
            raise ValueError(f"an access from {offset} + {low} to {offset} + {high} leaves "
                             f"space {space} of {found.size}")
        if writes and not found.writable:
            raise ValueError(f"space {space} is read-only")
        return found

    cdef int point(self, const double** where, object operand) except -1:
        """Point `where` at an operand that was found."""
        cdef Py_ssize_t space, offset
        space, offset = operand
        if 0 < space <= self.n_arguments:
            self.patches[space - 1].append((<size_t>where, offset))
        else:
            where[0] = self.spaces[space].data + offset
        return 0

    cdef int bind(
        self, const double** where, object operand, Py_ssize_t low, Py_ssize_t high,
        bint writes
    ) except -1:
        self.find(operand, low, high, writes)
        return self.point(where, operand)

    cdef int assemble(self, ad_instruction* to, object instruction) except -1:
        kind, *operands = instruction
        if kind == "run":
            self.run(to, operands)
        elif kind == "copy":
            self.copy(to, operands)
        elif kind == "gemm":
            self.gemm(to, operands)
        elif kind == "sum" or kind == "max":
            self.reduction(to, kind, operands)
        elif kind in ("logsumexp", "softmax", "log_softmax"):
            self.row_map(to, kind, operands)
        elif kind == "take" or kind == "scatter_rows":
            self.row_list(to, kind, operands)
        else:
            raise ValueError("there is no such instruction")
        return 0

    # ---- fused runs ----

    cdef int run(self, ad_instruction* to, list instruction) except -1:
        shape, operands, micros = instruction
        cdef ad_run* run = <ad_run*>self.take(sizeof(ad_run))
        cdef Py_ssize_t n_registers = 0, i, axes = len(shape)
        if axes > AD_RUN_AXES:
            raise ValueError(f"{axes} axes are more than {AD_RUN_AXES}")
        for i in range(axes):
            run.size[i] = read_size(shape[i])
        run.n_views = len(operands)
        run.n_micros = len(micros)
        run.views = <ad_view*>self.take(run.n_views * sizeof(ad_view))
        run.micros = <ad_fused*>self.take(run.n_micros * sizeof(ad_fused))
        self.read_micros(run, micros, &n_registers)
        for i in range(run.n_views):
            self.read_view(&run.views[i], run.size, axes, operands[i])

        cdef int planned = ad_run_plan(run, <int>axes)
        if planned < 0:
            raise ValueError("an output is written several times in the same place")
        if planned == 0:
            to.execute = ad_execute_nothing
            return 0
        run.n_registers = n_registers
        run.at = <double**>self.take(run.n_views * sizeof(double*))
        run.place = <double**>self.take(
            (run.n_views + n_registers + 1) * sizeof(double*))
        for i in range(n_registers):
            run.place[run.n_views + i] = self.register_of(i)
        for i in range(run.n_views):
            if run.views[i].step < 0:
                run.views[i].step = 1
                run.views[i].scratch = self.register_of(n_registers)
                run.place[i] = run.views[i].scratch
                n_registers += 1
        for i in range(run.n_micros):
            for o in range(3):
                if run.micros[i].place[o] < run.n_views:
                    run.micros[i].step[o] = run.views[run.micros[i].place[o]].step
        ad_run_pad(run)
        to.execute = ad_execute_run
        to.parameters = run
        if ad_run_is_block(run):
            return self.block(to, run, operands)
        for i in range(run.n_views):
            self.point(<const double**>&run.views[i].base, operands[i][0])
        ad_run_cut(run, sum([STEPS.get(name, 1) for name, *_ in micros]))
        if run.parts.n > 1:
            to.execute = ad_execute_parts
        return 0

    cdef int read_micros(
        self, ad_run* run, micros, Py_ssize_t* n_registers
    ) except -1:
        """Names to maps, operands to places. A register is written before it is read."""
        cdef Py_ssize_t i, o, place, n_views = run.n_views
        cdef ad_fused* to
        cdef bytes reads
        written = set()
        for i in range(run.n_micros):
            to = &run.micros[i]
            name, a, b, c, dst = micros[i]
            if name not in self.maps:
                raise ValueError(f"there is no map {name!r}")
            address, reads = self.maps[name]
            to.map = <ad_map><size_t>address
            if reads == b"xp":  # the op's parameter is c
                b, c = c, b
            for o, x in enumerate((a, b, c)):
                to.step[o] = 1
                if (x is not None) != (o < len(reads)):
                    raise ValueError(f"{name} reads {reads.decode()}")
                if x is None:
                    to.place[o] = -1  # of the NULL, once that is known
                    to.step[o] = 0
                    continue
                place = x
                if place >= n_views:
                    raise ValueError(f"there is no operand {place}")
                if place < 0 and place not in written:
                    raise ValueError(f"register {~place} is read before it is written")
                if place >= 0 and place not in written:
                    run.views[place].reads = True
                to.place[o] = place if place >= 0 else n_views + ~place
            place = dst
            if place >= n_views:
                raise ValueError(f"there is no operand {place}")
            if place >= 0:
                run.views[place].writes = True
            elif ~place >= MAX_REGISTERS:
                raise ValueError(f"there is no register {~place}")
            else:
                n_registers[0] = max(n_registers[0], ~place + 1)
            written.add(place)
            to.z = place if place >= 0 else n_views + ~place
        for i in range(run.n_micros):
            for o in range(3):
                if run.micros[i].place[o] < 0:
                    run.micros[i].place[o] = n_views + n_registers[0]
        return 0

    cdef int read_view(
        self, ad_view* view, const ptrdiff_t* size, Py_ssize_t axes, entry
    ) except -1:
        cdef Py_ssize_t low, high, i, n
        operand, strides, *loose = entry
        if len(strides) != axes:
            raise ValueError(f"{len(strides)} strides for {axes} axes")
        for i in range(axes):
            view.stride[i] = strides[i]
        find_extent(axes, size, view.stride, &low, &high)
        view.roomy = operand[0] == 0  # the arena has room after its end
        if loose:
            view.loose, = loose
        if view.loose:
            n = high - low
            high = low + times((n + 7) // 8, 8)
            if not view.roomy:
                raise ValueError(f"space {operand[0]} has no room after an operand")
        self.find(operand, low, high, view.writes)
        return 0

    cdef int block(self, ad_instruction* to, const ad_run* run, operands) except -1:
        """A run of one block: pointers instead of places."""
        cdef ad_block* block = <ad_block*>self.take(sizeof(ad_block))
        cdef const ad_fused* m
        cdef ad_micro* micro
        cdef Py_ssize_t i, o, n = run.block_rows * run.block_cols
        block.n_micros = run.n_micros
        block.micros = <ad_micro*>self.take(run.n_micros * sizeof(ad_micro))
        for i in range(run.n_micros):
            m = &run.micros[i]
            micro = &block.micros[i]
            micro.map = m.map
            micro.n = (n + 7) // 8 * 8 if m.pads else n
            for o in range(3):
                micro.step[o] = m.step[o]
                self.resolve(&micro.operand[o], run, m.place[o], operands)
            self.resolve(<const double**>&micro.z, run, m.z, operands)
        to.execute = ad_execute_block
        to.parameters = block
        return 0

    cdef int resolve(
        self, const double** where, const ad_run* run, Py_ssize_t place, operands
    ) except -1:
        if place < run.n_views:
            return self.point(where, operands[place][0])
        where[0] = run.place[place]
        return 0

    # ---- copies ----

    cdef int copy(self, ad_instruction* to, list operands) except -1:
        shape, x, x_strides, z, z_strides = operands
        cdef ad_copy* p = <ad_copy*>self.take(sizeof(ad_copy))
        cdef Py_ssize_t low, high, i, k, axes = len(shape), first = AD_RUN_AXES - axes
        if axes > AD_RUN_AXES:
            raise ValueError(f"{axes} axes are more than {AD_RUN_AXES}")
        if len(x_strides) != axes or len(z_strides) != axes:
            raise ValueError(f"strides do not fit {axes} axes")
        to.execute = ad_execute_copy
        to.parameters = p
        p.rows = self.kernels.copy_rows
        for i in range(AD_RUN_AXES):
            k = i - first
            p.size[i] = read_size(shape[k]) if k >= 0 else 1
            p.x_step[i] = x_strides[k] if k >= 0 else 0
            p.z_step[i] = z_strides[k] if k >= 0 else 0
            if p.size[i] == 0:
                to.execute = ad_execute_nothing
        find_extent(AD_RUN_AXES, p.size, p.x_step, &low, &high)
        self.bind(&p.x, x, low, high, False)
        find_extent(AD_RUN_AXES, p.size, p.z_step, &low, &high)
        self.bind(<const double**>&p.z, z, low, high, True)
        ad_copy_cut(p)
        if p.parts.n > 1:
            to.execute = ad_execute_parts
        return 0

    # ---- products ----

    cdef int gemm(self, ad_instruction* to, list operands) except -1:
        ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, stack, sa, sb, sc = operands
        cdef ad_product* p = <ad_product*>self.take(sizeof(ad_product))
        cdef Py_ssize_t i, axes = len(stack)
        if n == 1 and m > 1 and ldc == 1:  # a column is a row: C' = op(B)' op(A)'
            m, n, ldc, ta, tb = 1, m, m, not tb, not ta
            a, lda, sa, b, ldb, sb = b, ldb, sb, a, lda, sa
        p.ta, p.tb = ta, tb
        p.m, p.n, p.k = read_size(m), read_size(n), read_size(k)
        p.beta = beta
        scale = None
        if isinstance(alpha, tuple):
            alpha, scale = alpha
            if scale is not None:
                self.bind(&p.scale, scale, 0, 1, False)
        p.alpha = alpha
        p.axes = axes
        p.size = <ptrdiff_t*>self.take((axes + 2) * sizeof(ptrdiff_t))
        p.at = <ptrdiff_t*>self.take(axes * sizeof(ptrdiff_t))
        for i in range(axes):
            p.size[i] = read_size(stack[i])
        p.lda = self.matrix(p, 0, &p.a, p.k if ta else p.m, p.m if ta else p.k, a, lda, sa)
        p.ldb = self.matrix(p, 1, &p.b, p.n if tb else p.k, p.k if tb else p.n, b, ldb, sb)
        p.ldc = self.matrix(p, 2, <const double**>&p.c, p.m, p.n, c, ldc, sc)
        cdef ad_cut cut
        p.gemm = self.kernels.gemm_of(
            p.ta, p.tb, p.m, p.n, p.k, p.lda, p.beta, p.ldc, &cut)
        if (ad_wants_blas(p.m, p.n, p.k) and load_blas()
                and ad_fits_blas(p.m, p.n, p.k, p.lda, p.ldb, p.ldc)):
            p.gemm = ad_gemm_blas
            cut.rows = cut.cols = 0  # it has threads of its own
        ad_product_cut(p, &cut)
        to.parameters = p
        to.execute = ad_execute_products
        if axes == 0 and scale is None:
            to.execute = ad_execute_product
        if p.parts.n > 1:
            to.execute = ad_execute_parts
        if p.m == 0 or p.n == 0:
            to.execute = ad_execute_nothing
        return 0

    cdef Py_ssize_t matrix(
        self, ad_product* p, int i, const double** where, Py_ssize_t rows,
        Py_ssize_t cols, operand, ld, strides
    ) except -1:
        """Bind one matrix of a product, stored as rows of `ld` numbers; returns ld."""
        cdef Py_ssize_t low, high, j, axes = p.axes
        if len(strides) != axes:
            raise ValueError(f"{len(strides)} strides for a stack of {axes} axes")
        p.step[i] = <ptrdiff_t*>self.take((axes + 2) * sizeof(ptrdiff_t))
        for j in range(axes):
            p.step[i][j] = strides[j]
        p.size[axes], p.size[axes + 1] = rows, cols
        p.step[i][axes], p.step[i][axes + 1] = ld, 1
        if rows <= 1:
            p.step[i][axes] = max(cols, 1)  # whatever it was, nothing follows
        if p.step[i][axes] < max(cols, 1):
            raise ValueError(f"rows of {cols} numbers are {ld} apart")
        find_extent(axes + 2, p.size, p.step[i], &low, &high)
        self.bind(where, operand, low, high, i == 2)
        return p.step[i][axes]

    # ---- reductions, rows ----

    cdef int reduction(self, ad_instruction* to, kind, list operands) except -1:
        a, r, b, x, z = operands
        cdef ad_reduction* p = <ad_reduction*>self.take(sizeof(ad_reduction))
        p.a, p.r, p.b = read_size(a), read_size(r), read_size(b)
        self.bind(&p.x, x, 0, times(times(p.a, p.r), p.b), False)
        self.bind(<const double**>&p.z, z, 0, times(p.a, p.b), True)
        p.reduce = self.kernels.sum if kind == "sum" else self.kernels.max
        to.parameters = p
        to.execute = ad_execute_reduction
        ad_reduction_cut(p)
        if p.parts.n > 1:
            to.execute = ad_execute_parts
        if p.a == 0 or p.b == 0:
            to.execute = ad_execute_nothing
        elif p.r == 0 and kind == "max":
            raise ValueError("nothing has no maximum")
        return 0

    cdef int row_map(self, ad_instruction* to, kind, list operands) except -1:
        rows, n, x, z = operands
        cdef ad_row_map* p = <ad_row_map*>self.take(sizeof(ad_row_map))
        p.rows, p.n = read_size(rows), read_size(n)
        cdef Py_ssize_t size = times(p.rows, p.n)
        self.bind(&p.x, x, 0, size, False)
        p.z_row = 1 if kind == "logsumexp" else p.n
        self.bind(<const double**>&p.z, z, 0, times(p.rows, p.z_row), True)
        if kind == "logsumexp":
            p.map = self.kernels.logsumexp
        elif kind == "softmax":
            p.map = self.kernels.softmax
        else:
            p.map = self.kernels.log_softmax
        to.parameters = p
        to.execute = ad_execute_row_map
        ad_row_map_cut(p)
        if p.parts.n > 1:
            to.execute = ad_execute_parts
        if p.rows == 0:
            to.execute = ad_execute_nothing
        elif p.n == 0:
            raise ValueError("rows are empty")
        return 0

    cdef int row_list(self, ad_instruction* to, kind, list operands) except -1:
        n_rows, row_size, n, x, rows, z = operands
        cdef ad_row_list* p = <ad_row_list*>self.take(sizeof(ad_row_list))
        cdef bint scatters = kind == "scatter_rows"
        p.n_rows, p.row_size, p.n = read_size(n_rows), read_size(row_size), read_size(n)
        cdef Py_ssize_t whole = times(p.n_rows, p.row_size), some = times(p.n, p.row_size)
        self.bind(&p.rows, rows, 0, p.n, False)
        self.bind(&p.x, x, 0, some if scatters else whole, False)
        self.bind(<const double**>&p.z, z, 0, whole if scatters else some, True)
        to.parameters = p
        to.execute = ad_execute_scatter if scatters else ad_execute_take
        return 0


cdef enum:
    MAX_REGISTERS = 4096
