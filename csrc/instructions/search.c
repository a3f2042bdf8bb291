/* Kind `search`: where numbers belong among others that are in order. NaN comes last. */
#include "instruction.h"

typedef struct {
    ptrdiff_t n, m;
    bool right;
    const double *x, *y;
    double *z;
} search;

static inline bool is_less(double a, double b) { return a < b || (b != b && a == a); }

static int execute(void *parameters)
{
    const search *p = parameters;
    for (ptrdiff_t i = 0; i < p->m; i++) {
        const double y = p->y[i];
        ptrdiff_t low = 0, high = p->n;
        while (low < high) {
            const ptrdiff_t middle = low + (high - low) / 2;
            const double x = p->x[middle];
            if (p->right ? !is_less(y, x) : is_less(x, y))
                low = middle + 1;
            else
                high = middle;
        }
        p->z[i] = (double)low;
    }
    return 0;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    search *p = ad_take_memory(reader, 1, sizeof *p);
    if (p == NULL) return;
    p->n = ad_read_size(reader);
    p->m = ad_read_size(reader);
    p->right = ad_read_flag(reader);
    const ad_operand x = ad_read_operand(reader), y = ad_read_operand(reader);
    const ad_operand z = ad_read_operand(reader);
    ad_bind(reader, &p->x, x, 0, p->n);
    ad_bind(reader, &p->y, y, 0, p->m);
    ad_bind_output(reader, &p->z, z, 0, p->m);
    ad_keep_apart(reader, x, p->n, z, p->m);
    ad_keep_apart(reader, y, p->m, z, p->m);
    ad_set_instruction(to, execute, p, NULL);
}

AD_KIND("search", load, NULL)
