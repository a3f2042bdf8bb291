/* The floor: the post's training steps written by hand in C, as fast as we know how.
 *
 * Compiled on the machine that runs the benchmark, for its instruction set. Vectors of 8 doubles
 * (GCC's vector extensions: AVX-512, or pairs of AVX2 registers), everything padded to 8, gates
 * packed side by side, product, bias and activation in one pass, gradients summed over the time steps
 * and applied to the weights in one pass. No allocation, no calls.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define W 8
typedef double vec __attribute__((vector_size(8 * W), aligned(8)));
typedef int64_t ivec __attribute__((vector_size(8 * W), aligned(8)));
#define INLINE static inline __attribute__((always_inline))

INLINE vec load(const double *x) { return *(const vec *)x; }
INLINE void store(double *x, vec v) { *(vec *)x = v; }
INLINE vec all(double x) { return (vec){x, x, x, x, x, x, x, x}; }
INLINE double total(vec v)
{
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
INLINE vec choose(ivec m, vec a, vec b) { return (vec)((m & (ivec)a) | (~m & (ivec)b)); }
INLINE vec magnitude(vec x) { return (vec)((ivec)x & INT64_MAX); }

/* q with e^r = 1 + r + r^2 q for |r| <= ln 2 / 2: Taylor's series to the 13th power. */
INLINE vec exp_poly(vec r)
{
    const vec r2 = r * r, r4 = r2 * r2;
    const vec a = 1.0 / 2 + r * (1.0 / 6), b = 1.0 / 24 + r * (1.0 / 120);
    const vec c = 1.0 / 720 + r * (1.0 / 5040), d = 1.0 / 40320 + r * (1.0 / 362880);
    const vec e = 1.0 / 3628800 + r * (1.0 / 39916800);
    const vec f = 1.0 / 479001600 + r * (1.0 / 6227020800.0);
    return (a + b * r2) + r4 * ((c + d * r2) + r4 * (e + f * r2));
}

#define ROUND 0x1.8p52
#define LN2_HI 0x1.62e42fefa3p-1
#define LN2_LO 0x1.3de6af278ece6p-42

/* x = k ln 2 + r; returns k, 2^k in *scale. */
INLINE vec reduce(vec x, vec *r, vec *scale)
{
    const vec shifted = x * 0x1.71547652b82fep+0 + ROUND, k = shifted - ROUND;
    *r = (x - k * LN2_HI) - k * LN2_LO;
    *scale = (vec)(((ivec)(k + (ROUND + 1023.0))) << 52);
    return k;
}

/* e^x for -700 < x < 700. */
INLINE vec vexp(vec x)
{
    vec r, scale;
    reduce(x, &r, &scale);
    return scale * (1.0 + (r + r * r * exp_poly(r)));
}

/* With t = e^(-2|x|) - 1: tanh |x| = -t / (2 + t). */
INLINE vec vtanh(vec x)
{
    vec r, scale;
    vec y = -2.0 * magnitude(x);
    y = choose(y < -50.0, all(-50.0), y);
    reduce(y, &r, &scale);
    const vec t = scale * (r + r * r * exp_poly(r)) + (scale - 1.0);
    const vec z = -t / (2.0 + t);
    return (vec)((ivec)z | ((ivec)x & INT64_MIN));
}

INLINE vec vsigmoid(vec x)
{
    x = choose(x < -700.0, all(-700.0), x);
    x = choose(x > 700.0, all(700.0), x);
    return 1.0 / (1.0 + vexp(-x));
}

/* ln(1 + e) for 0 <= e <= 1: atanh's series would be slow; reduce to sqrt(1/2) .. sqrt(2). */
INLINE vec vlog1p(vec e)
{
    const vec u = 1.0 + e, lost = e - (u - 1.0);
    const ivec high = u > 0x1.6a09e667f3bcdp0;
    const vec m = choose(high, u * 0.5, u);
    const vec k = choose(high, all(1.0), all(0.0));
    const vec f = m - 1.0, s = f / (2.0 + f), z = s * s, z2 = z * z;
    const vec a = 0x1.5555555555573p-1 + 0x1.99999999886b5p-2 * z;
    const vec b = 0x1.2492493b7228dp-2 + 0x1.c71c56b560289p-3 * z;
    const vec c = 0x1.7465614320318p-3 + 0x1.39b632d9feef7p-3 * z;
    const vec R = (a + b * z2) + z2 * z2 * (c + 0x1.2e466ae7214b2p-3 * z2);
    const vec half = 0.5 * f * f;
    return k * LN2_HI - ((half - (s * (half + z * R) + (k * LN2_LO + lost / u))) - f);
}

/* ---- the LSTM: 2 inputs, 15 units, 2 outputs, batch 1 --------------------------------------
 *
 * 16 columns a gate, of which the last is padding with weight 0: its gate values are constants
 * that meet a cell state of 0. Rows of `w`: 2 inputs, 15 of h, the bias. */
enum { I = 2, H = 15, P = 16, O = 2, G = 4 * P, ROWS = I + H + 1, T_MAX = 64 };

typedef struct {
    double w[ROWS][G]; /* gates f, i, o, g */
    double v[O][P];    /* output weights, transposed */
    double d[W];       /* output bias */
} lstm_weights;

static double lstm_step(lstm_weights *restrict p, int n_steps, const double *x,
                        const double *target, double rate)
{
    double z[T_MAX][I], a[T_MAX][G], c[T_MAX][P], tc[T_MAX][P], h[T_MAX][P], da[T_MAX][G], e[T_MAX][O];
    double loss = 0.0;
    vec hv[2] = {all(0.0), all(0.0)}, cv[2] = {all(0.0), all(0.0)};
    for (int t = 0; t < n_steps; t++) {
        /* a = [x, h, 1] w */
        vec s[8];
        for (int j = 0; j < 8; j++)
            s[j] = load(p->w[I + H] + j * W) + x[t * I] * load(p->w[0] + j * W) +
                   x[t * I + 1] * load(p->w[1] + j * W);
        z[t][0] = x[t * I];
        z[t][1] = x[t * I + 1];
        if (t > 0) {
            const double *hp = h[t - 1];
            for (int k = 0; k < H; k++) {
                const vec hk = all(hp[k]);
                for (int j = 0; j < 8; j++) s[j] += hk * load(p->w[I + k] + j * W);
            }
        }
        for (int j = 0; j < 6; j++) s[j] = vsigmoid(s[j]);
        for (int j = 6; j < 8; j++) s[j] = vtanh(s[j]);
        for (int j = 0; j < 8; j++) store(a[t] + j * W, s[j]);
        for (int j = 0; j < 2; j++) {
            store(c[t] + j * W, cv[j]);
            cv[j] = s[j] * cv[j] + s[2 + j] * s[6 + j];
            const vec tanh_c = vtanh(cv[j]);
            store(tc[t] + j * W, tanh_c);
            hv[j] = s[4 + j] * tanh_c;
            store(h[t] + j * W, hv[j]);
        }
        for (int o = 0; o < O; o++) {
            const double y = total(hv[0] * load(p->v[o]) + hv[1] * load(p->v[o] + W)) + p->d[o];
            e[t][o] = y - target[t * O + o];
            loss += 0.5 * e[t][o] * e[t][o];
        }
    }
    vec dh[2] = {all(0.0), all(0.0)}, dc[2] = {all(0.0), all(0.0)};
    vec dv[O][2] = {{all(0.0), all(0.0)}, {all(0.0), all(0.0)}};
    double dd[O] = {0.0, 0.0};
    for (int t = n_steps - 1; t >= 0; t--) {
        for (int o = 0; o < O; o++) {
            const vec eo = all(e[t][o]);
            dd[o] += e[t][o];
            for (int j = 0; j < 2; j++) {
                dv[o][j] += eo * load(h[t] + j * W);
                dh[j] += eo * load(p->v[o] + j * W);
            }
        }
        vec g[8];
        for (int j = 0; j < 2; j++) {
            const vec f = load(a[t] + j * W), i = load(a[t] + (2 + j) * W);
            const vec o = load(a[t] + (4 + j) * W), n = load(a[t] + (6 + j) * W);
            const vec tanh_c = load(tc[t] + j * W);
            const vec d = dc[j] + dh[j] * o * (1.0 - tanh_c * tanh_c);
            g[j] = d * load(c[t] + j * W) * f * (1.0 - f);
            g[2 + j] = d * n * i * (1.0 - i);
            g[4 + j] = dh[j] * tanh_c * o * (1.0 - o);
            g[6 + j] = d * i * (1.0 - n * n);
            dc[j] = d * f;
        }
        for (int j = 0; j < 8; j++) store(da[t] + j * W, g[j]);
        if (t > 0) { /* dh = w da: rows of h only, 15 sums of 64 products */
            double sums[P];
            for (int k = 0; k < H; k++) {
                vec s = g[0] * load(p->w[I + k]), q = g[1] * load(p->w[I + k] + W);
                for (int j = 2; j < 8; j += 2) {
                    s += g[j] * load(p->w[I + k] + j * W);
                    q += g[j + 1] * load(p->w[I + k] + (j + 1) * W);
                }
                sums[k] = total(s + q);
            }
            sums[H] = 0.0;
            dh[0] = load(sums);
            dh[1] = load(sums + W);
        }
    }
    /* w -= rate sum_t z_t' da_t, each row of w once */
    for (int j = 0; j < 8; j++) {
        vec g[T_MAX];
        for (int t = 0; t < n_steps; t++) g[t] = rate * load(da[t] + j * W);
        for (int k = 0; k < I; k++) {
            vec s = load(p->w[k] + j * W);
            for (int t = 0; t < n_steps; t++) s -= z[t][k] * g[t];
            store(p->w[k] + j * W, s);
        }
        for (int k = 0; k < H; k++) {
            vec s = load(p->w[I + k] + j * W);
            for (int t = 1; t < n_steps; t++) s -= h[t - 1][k] * g[t];
            store(p->w[I + k] + j * W, s);
        }
        vec s = load(p->w[I + H] + j * W);
        for (int t = 0; t < n_steps; t++) s -= g[t];
        store(p->w[I + H] + j * W, s);
    }
    for (int o = 0; o < O; o++) {
        for (int j = 0; j < 2; j++)
            store(p->v[o] + j * W, load(p->v[o] + j * W) - rate * dv[o][j]);
        p->d[o] -= rate * dd[o];
    }
    return loss;
}

void lstm_scan(lstm_weights *p, int n_steps, long n, const double *x, const double *target,
               double rate, double *losses)
{
    for (long k = 0; k < n; k++)
        losses[k] = lstm_step(p, n_steps, x + k * n_steps * I, target + k * n_steps * O, rate);
}

/* ---- the auto-encoder: n - h - k - n, batch 1; all sizes padded to 8 ------------------------ */

enum { N_MAX = 1024, H_MAX = 64, K_MAX = 32 };

typedef struct {
    int n, h, k;                /* padded to multiples of 8 */
    int n_hidden, n_latent;     /* without padding */
    double *w1, *b1, *wm, *bm, *wv, *bv, *w2, *b2;
} vae_weights;

/* y = b + x w for `q_max` vectors of columns, held in registers while the rows go by. */
INLINE void block(double *y, const double *x, const double *w, const double *b, int rows,
                  long columns, const int q_max)
{
    vec s[8];
    for (int q = 0; q < q_max; q++) s[q] = load(b + q * W);
    for (int r = 0; r < rows; r++)
        for (int q = 0; q < q_max; q++) s[q] += x[r] * load(w + r * columns + q * W);
    for (int q = 0; q < q_max; q++) store(y + q * W, s[q]);
}

INLINE void product(double *restrict y, const double *x, const double *w, const double *b, int rows,
                    int columns)
{
    int j = 0;
    for (; columns - j >= 8 * W; j += 8 * W) block(y + j, x, w + j, b + j, rows, columns, 8);
    switch ((columns - j) / W) {
    case 7: block(y + j, x, w + j, b + j, rows, columns, 7); break;
    case 6: block(y + j, x, w + j, b + j, rows, columns, 6); break;
    case 5: block(y + j, x, w + j, b + j, rows, columns, 5); break;
    case 4: block(y + j, x, w + j, b + j, rows, columns, 4); break;
    case 3: block(y + j, x, w + j, b + j, rows, columns, 3); break;
    case 2: block(y + j, x, w + j, b + j, rows, columns, 2); break;
    case 1: block(y + j, x, w + j, b + j, rows, columns, 1); break;
    }
}

/* The four sums of four vectors. */
INLINE void totals(double *z, vec a, vec b, vec c, vec d)
{
    z[0] = total(a), z[1] = total(b), z[2] = total(c), z[3] = total(d);
}

/* dx = w dy and w -= rate x' dy in one pass over w; rows: a multiple of 4. */
INLINE void backward(double *restrict dx, const double *x, double *restrict w, const double *dy,
                     int rows, int columns, double rate)
{
    for (int r = 0; r < rows; r += 4) { /* up to 3 rows of padding: x and w are 0 there */
        vec s[4] = {all(0.0), all(0.0), all(0.0), all(0.0)};
        double xr[4];
        for (int q = 0; q < 4; q++) xr[q] = -rate * x[r + q];
        for (int j = 0; j < columns; j += W) {
            const vec g = load(dy + j);
            for (int q = 0; q < 4; q++) {
                double *at = w + (long)(r + q) * columns + j;
                const vec old = load(at);
                s[q] += old * g;
                store(at, old + xr[q] * g);
            }
        }
        totals(dx + r, s[0], s[1], s[2], s[3]);
    }
}

/* w -= rate x' dy; a row whose x is 0 does not change. */
INLINE void rank_one(const double *x, double *restrict w, const double *dy, int rows, int columns,
                     double rate)
{
    for (int r = 0; r < rows; r++) {
        const vec xr = all(-rate * x[r]);
        for (int j = 0; j < columns; j += W) {
            double *at = w + (long)r * columns + j;
            store(at, load(at) + xr * load(dy + j));
        }
    }
}

INLINE void descend(double *restrict b, const double *dy, int n, double rate)
{
    for (int j = 0; j < n; j += W) store(b + j, load(b + j) - rate * load(dy + j));
}

/* `mask`: 1 for real latent dimensions, 0 for padding; there are no padding pixels. */
static double vae_step(vae_weights *p, const double *x, const double *noise, const double *mask,
                       double rate)
{
    double hidden[H_MAX], mean[K_MAX], logvar[K_MAX], latent[K_MAX], sigma[K_MAX], dl[N_MAX];
    double dmean[K_MAX], dlogvar[K_MAX];
    double dlatent[K_MAX] = {0.0}, dh[H_MAX] = {0.0}, dh2[H_MAX] = {0.0};
    const int n = p->n, h = p->h, k = p->k;
    product(hidden, x, p->w1, p->b1, n, h);
    for (int j = 0; j < h; j += W) store(hidden + j, vtanh(load(hidden + j)));
    product(mean, hidden, p->wm, p->bm, p->n_hidden, k);
    product(logvar, hidden, p->wv, p->bv, p->n_hidden, k);
    vec kl = all(0.0);
    for (int j = 0; j < k; j += W) {
        const vec m = load(mean + j), l = load(logvar + j), s = vexp(0.5 * l);
        store(sigma + j, s);
        store(latent + j, m + s * load(noise + j));
        kl += load(mask + j) * (s * s + m * m - 1.0 - l);
    }
    product(dl, latent, p->w2, p->b2, p->n_latent, n);
    /* loss and its gradient: softplus(l) - x l, sigmoid(l) - x */
    vec nll = all(0.0);
    for (int j = 0; j < n; j += W) {
        const vec l = load(dl + j), xj = load(x + j);
        const vec e = vexp(choose(magnitude(l) > 700.0, all(-700.0), -magnitude(l)));
        const ivec positive = l >= 0.0;
        nll += choose(positive, l, all(0.0)) + vlog1p(e) - xj * l;
        store(dl + j, choose(positive, all(1.0), e) / (1.0 + e) - xj);
    }
    backward(dlatent, latent, p->w2, dl, p->n_latent, n, rate);
    descend(p->b2, dl, n, rate);
    for (int j = 0; j < k; j += W) {
        const vec g = load(dlatent + j), s = load(sigma + j), on = load(mask + j);
        store(dmean + j, on * (g + load(mean + j)));
        store(dlogvar + j, on * 0.5 * (g * s * load(noise + j) + s * s - 1.0));
    }
    backward(dh, hidden, p->wm, dmean, p->n_hidden, k, rate);
    backward(dh2, hidden, p->wv, dlogvar, p->n_hidden, k, rate);
    descend(p->bm, dmean, k, rate);
    descend(p->bv, dlogvar, k, rate);
    for (int j = 0; j < h; j += W) {
        const vec z = load(hidden + j);
        store(dh + j, (load(dh + j) + load(dh2 + j)) * (1.0 - z * z));
    }
    rank_one(x, p->w1, dh, n, h, rate);
    descend(p->b1, dh, h, rate);
    return total(nll) + 0.5 * total(kl);
}

void vae_scan(vae_weights *p, long n_steps, const double *x, const double *noise,
              const double *mask, double rate, double *losses)
{
    for (long s = 0; s < n_steps; s++) {
        double padded[K_MAX] = {0.0};
        memcpy(padded, noise + s * p->n_latent, p->n_latent * sizeof(double));
        losses[s] = vae_step(p, x + s * p->n, padded, mask, rate);
    }
}

/* ---- rates, for the roofline ---------------------------------------------------------------- */

void exp_all(double *z, const double *x, long n)
{
    for (long j = 0; j + W <= n; j += W) store(z + j, vexp(load(x + j)));
}
void tanh_all(double *z, const double *x, long n)
{
    for (long j = 0; j + W <= n; j += W) store(z + j, vtanh(load(x + j)));
}
void sigmoid_all(double *z, const double *x, long n)
{
    for (long j = 0; j + W <= n; j += W) store(z + j, vsigmoid(load(x + j)));
}
void log1p_all(double *z, const double *x, long n)
{
    for (long j = 0; j + W <= n; j += W) store(z + j, vlog1p(load(x + j)));
}

/* BLAS as SciPy hands it out: everything by address, Fortran's order. */
typedef void (*dgemm_t)(char *, char *, int *, int *, int *, double *, double *, int *, double *,
                        int *, double *, double *, int *);
typedef void (*dgemv_t)(char *, int *, int *, double *, double *, int *, double *, int *, double *,
                        double *, int *);
typedef void (*dger_t)(int *, int *, double *, double *, int *, double *, int *, double *, int *);

/* Run each product of a table once: rows (ta, tb, m, n, k), row-major C = A B; `place`: where
 * the operands begin. One row: dgemv; an outer product: dger. */
void products(dgemm_t gemm, dgemv_t gemv, dger_t ger, long n_products, const int *table,
              const long *place, double *memory)
{
    double one = 1.0, zero = 0.0;
    int step = 1;
    for (long i = 0; i < n_products; i++) {
        int m = table[5 * i + 2], n = table[5 * i + 3], k = table[5 * i + 4];
        char ta = table[5 * i] ? 'T' : 'N', tb = table[5 * i + 1] ? 'T' : 'N';
        int lda = ta == 'T' ? m : k, ldb = tb == 'T' ? k : n;
        double *a = memory + place[3 * i], *b = memory + place[3 * i + 1];
        double *c = memory + place[3 * i + 2];
        if (k == 1)
            ger(&n, &m, &one, b, &step, a, &step, c, &n);
        else if (m == 1 && tb == 'N')
            gemv(&tb, &n, &k, &one, b, &n, a, &step, &zero, c, &step);
        else if (m == 1)
            gemv(&tb, &k, &n, &one, b, &k, a, &step, &zero, c, &step);
        else
            gemm(&tb, &ta, &n, &m, &k, &one, b, &ldb, a, &lda, &zero, c, &n);
    }
}
