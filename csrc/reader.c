/* Fields, names and operands of the words of a program, each of them checked. */
#include "reader.h"

#include "special.h"

#include <stdlib.h>
#include <string.h>

/* ---- refusing ---- */

bool ad_refused(const ad_reader *reader) { return reader->refusal.code != AD_FINE; }

void ad_refuse_at(ad_reader *reader, int code, ptrdiff_t place)
{
    if (ad_refused(reader)) return;
    reader->refusal.code = code;
    reader->refusal.place = place;
}

void ad_refuse(ad_reader *reader, int code)
{
    ad_refuse_at(reader, code, reader->at > 0 ? reader->at - 1 : 0);
}

ptrdiff_t ad_times(ad_reader *reader, ptrdiff_t x, ptrdiff_t y)
{
    ptrdiff_t product;
    if (!__builtin_mul_overflow(x, y, &product)) return product;
    ad_refuse(reader, AD_BAD_SIZE);
    return 0;
}

static ptrdiff_t plus(ad_reader *reader, ptrdiff_t x, ptrdiff_t y)
{
    ptrdiff_t sum;
    if (!__builtin_add_overflow(x, y, &sum)) return sum;
    ad_refuse(reader, AD_BAD_SIZE);
    return 0;
}

void ad_extent(ad_reader *reader, ptrdiff_t axes, const ptrdiff_t *size, const ptrdiff_t *stride,
               ptrdiff_t *low, ptrdiff_t *high)
{
    *low = *high = 0;
    for (ptrdiff_t i = 0; i < axes; i++)
        if (size[i] == 0) return;
    for (ptrdiff_t i = 0; i < axes; i++) {
        const ptrdiff_t way = ad_times(reader, size[i] - 1, stride[i]);
        ptrdiff_t *end = way < 0 ? low : high;
        *end = plus(reader, *end, way);
    }
    *high = plus(reader, *high, 1);
}

bool ad_is_apart(ptrdiff_t axes, const ptrdiff_t *size, const ptrdiff_t *stride)
{
    ptrdiff_t extent = 1, least;
    for (ptrdiff_t i = 0; i < axes; i++)
        if (size[i] == 0) return true;
    for (ptrdiff_t last = 0;; last = least) { /* from the smallest step to the largest */
        ptrdiff_t n = 0, together = 1;
        least = PTRDIFF_MAX;
        for (ptrdiff_t i = 0; i < axes; i++) {
            const ptrdiff_t step = stride[i] < 0 ? -stride[i] : stride[i];
            if (size[i] == 1) continue;
            if (step == 0) return false;
            if (step <= last || step > least) continue;
            n = step < least ? 1 : n + 1;
            least = step;
            together = size[i];
        }
        if (n == 0) return true;
        if (n > 1 || least < extent) return false;
        extent += (together - 1) * least;
    }
}

/* ---- words ---- */

int64_t ad_read_word(ad_reader *reader)
{
    if (ad_refused(reader)) return 0;
    if (reader->at < reader->end) return reader->words[reader->at++];
    ad_refuse_at(reader, AD_CUT_SHORT, reader->at > 0 ? reader->at - 1 : 0);
    return 0;
}

ptrdiff_t ad_read_number(ad_reader *reader)
{
    const int64_t word = ad_read_word(reader);
    /* As negative as can be: -x would be none. */
    if (word > -PTRDIFF_MAX && word <= PTRDIFF_MAX) return (ptrdiff_t)word;
    ad_refuse(reader, AD_BAD_SIZE);
    return 0;
}

ptrdiff_t ad_read_size(ad_reader *reader)
{
    const ptrdiff_t size = ad_read_number(reader);
    if (size >= 0) return size;
    ad_refuse(reader, AD_BAD_SIZE);
    return 0;
}

bool ad_read_flag(ad_reader *reader)
{
    const int64_t word = ad_read_word(reader);
    if (word != 0 && word != 1) ad_refuse(reader, AD_BAD_FLAG);
    return word == 1;
}

double ad_read_double(ad_reader *reader)
{
    const int64_t word = ad_read_word(reader);
    double number;
    memcpy(&number, &word, sizeof number);
    return number;
}

ad_operand ad_read_operand(ad_reader *reader)
{
    ad_operand operand = {0, 0, reader->at};
    operand.space = ad_read_number(reader);
    operand.offset = ad_read_number(reader);
    return operand;
}

bool ad_read_operand_or_none(ad_reader *reader, ad_operand *operand)
{
    *operand = ad_read_operand(reader);
    if (operand->space != -1) return !ad_refused(reader);
    if (operand->offset != 0) ad_refuse(reader, AD_NO_SPACE);
    return false;
}

ptrdiff_t ad_read_count(ad_reader *reader, ptrdiff_t least)
{
    const int64_t count = ad_read_word(reader);
    if (count >= 0 && count <= (reader->end - reader->at) / least) return (ptrdiff_t)count;
    ad_refuse(reader, AD_BAD_COUNT);
    return 0;
}

ad_numbers ad_read_numbers(ad_reader *reader)
{
    ad_numbers numbers = {ad_read_count(reader, 1), 0, NULL};
    if (ad_refused(reader)) return numbers;
    numbers.place = reader->at;
    numbers.words = reader->words + reader->at;
    reader->at += numbers.n;
    return numbers;
}

ptrdiff_t ad_read_sizes(ad_reader *reader, ptrdiff_t most, ptrdiff_t *sizes)
{
    const ptrdiff_t axes = ad_read_count(reader, 1);
    if (axes > most) ad_refuse(reader, AD_MANY_AXES);
    if (ad_refused(reader)) return 0;
    for (ptrdiff_t i = 0; i < axes; i++) sizes[i] = ad_read_size(reader);
    return axes;
}

void ad_read_strides(ad_reader *reader, ptrdiff_t axes, ptrdiff_t *strides)
{
    if (ad_read_count(reader, 1) != axes) ad_refuse(reader, AD_BAD_STRIDES);
    for (ptrdiff_t i = 0; i < axes; i++) strides[i] = ad_read_number(reader);
}

/* ---- names ---- */

/* How many bytes the first character has; 0: it is none of UTF-8. */
static ptrdiff_t length_of_character(const unsigned char *s, ptrdiff_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const ptrdiff_t length = s[0] < 0x80   ? 1
                             : s[0] < 0xC0 ? 0
                             : s[0] < 0xE0 ? 2
                             : s[0] < 0xF0 ? 3
                             : s[0] < 0xF8 ? 4
                                           : 0;
    if (length < 2 || length > n) return length > n ? 0 : length;
    uint32_t point = s[0] & (0x7Fu >> length);
    for (ptrdiff_t i = 1; i < length; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0;
        point = point << 6 | (s[i] & 0x3Fu);
    }
    return point < least[length] || point > 0x10FFFF || (point >> 11) == 0x1B ? 0 : length;
}

static bool is_text(const char *text, ptrdiff_t n)
{
    for (ptrdiff_t i = 0, length; i < n; i += length) {
        length = length_of_character((const unsigned char *)text + i, n - i);
        if (length == 0 || text[i] == 0) return false;
    }
    return true;
}

static const char *read_text(ad_reader *r)
{
    const ptrdiff_t n_bytes = ad_read_size(r), n_words = n_bytes / 8 + (n_bytes % 8 != 0);
    if (n_words > r->end - r->at) ad_refuse(r, AD_BAD_COUNT);
    if (ad_refused(r)) return NULL;
    const ptrdiff_t place = r->at - 1;
    char *text = ad_take_briefly(r, n_words * 8 + 1, 1);
    if (text == NULL) return NULL;
    for (ptrdiff_t i = 0; i < 8 * n_words; i++) {
        text[i] = (char)((uint64_t)r->words[r->at + i / 8] >> 8 * (i % 8) & 0xFF);
        if (i >= n_bytes && text[i] != 0) ad_refuse_at(r, AD_BAD_NAME, place);
    }
    r->at += n_words;
    if (!is_text(text, n_bytes)) ad_refuse_at(r, AD_BAD_NAME, place);
    return text;
}

static int compare_names(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

void ad_read_names(ad_reader *r)
{
    r->n_names = ad_read_count(r, 1);
    const ptrdiff_t place = r->at - 1;
    r->names = ad_take_briefly(r, r->n_names, sizeof *r->names);
    const char **sorted = ad_take_briefly(r, r->n_names, sizeof *sorted);
    for (ptrdiff_t i = 0; i < r->n_names && !ad_refused(r); i++)
        sorted[i] = r->names[i].text = read_text(r);
    if (ad_refused(r)) return;
    qsort(sorted, (size_t)r->n_names, sizeof *sorted, compare_names);
    for (ptrdiff_t i = 1; i < r->n_names; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0) ad_refuse_at(r, AD_BAD_NAME, place);
}

ad_name *ad_read_named(ad_reader *r)
{
    const int64_t number = ad_read_word(r);
    if (number < 0 || number >= r->n_names) ad_refuse(r, AD_NO_NAME);
    return ad_refused(r) ? NULL : &r->names[number];
}

const char *ad_read_name(ad_reader *reader)
{
    const ad_name *found = ad_read_named(reader);
    return found == NULL ? "" : found->text;
}

/* "_name_slope" of `name`. */
static bool is_slope_of(const char *text, const char *of)
{
    const size_t n = strlen(of);
    return text[0] == '_' && strncmp(text + 1, of, n) == 0 && strcmp(text + 1 + n, "_slope") == 0;
}

static void seek_map(const ad_kernels *kernels, ad_name *sought)
{
    sought->map_sought = true;
    for (const ad_elementwise *e = kernels->elementwise; e->name != NULL; e++) {
        const ad_rule *rule = strcmp(sought->text, e->name) == 0 ? &e->forward
                              : e->arity == 1 && is_slope_of(sought->text, e->name)
                                  ? &e->backward[0]
                                  : NULL;
        if (rule == NULL || rule->map == NULL) continue;
        if (e->special && ad_seek_scipy != NULL) ad_seek_scipy();
        sought->map = rule->map;
        sought->special = e->special != 0;
        sought->arity = (int)strlen(rule->reads);
        return;
    }
}

ad_map ad_read_map(ad_reader *reader, int *arity, bool *special)
{
    ad_name *found = ad_read_named(reader);
    *arity = 0;
    *special = false;
    if (found == NULL) return NULL;
    if (!found->map_sought) seek_map(reader->kernels, found);
    if (found->map == NULL) ad_refuse(reader, AD_NO_OP);
    *arity = found->arity;
    *special = found->special;
    return found->map;
}

/* ---- functions ---- */

ad_call_back ad_function(ad_reader *reader, ptrdiff_t number)
{
    if (number >= 0 && number < reader->n_functions) return reader->functions[number];
    ad_refuse(reader, AD_NO_FUNCTION);
    return (ad_call_back){NULL, NULL};
}

/* ---- memory ---- */

const ad_kernels *ad_kernels_of(const ad_reader *reader) { return reader->kernels; }

static void *take(ad_reader *r, ad_pool *pool, ptrdiff_t n, size_t size)
{
    size_t bytes;
    void *taken = NULL;
    if (ad_refused(r)) return NULL;
    if (!__builtin_mul_overflow((size_t)n, size, &bytes)) taken = ad_pool_take(pool, bytes);
    if (taken == NULL) ad_refuse(r, AD_NO_MEMORY);
    return taken;
}

void *ad_take_memory(ad_reader *reader, ptrdiff_t n, size_t size)
{
    return take(reader, &reader->program->pool, n, size);
}

void *ad_take_briefly(ad_reader *reader, ptrdiff_t n, size_t size)
{
    return take(reader, &reader->brief, n, size);
}

double *ad_scratch(ad_reader *reader, ptrdiff_t i)
{
    if (i >= reader->n_scratch) {
        double **more = realloc(reader->scratch, ((size_t)i + 1) * sizeof *more);
        if (more == NULL) {
            ad_refuse(reader, AD_NO_MEMORY);
            return NULL;
        }
        reader->scratch = more;
        for (; reader->n_scratch <= i; reader->n_scratch++)
            more[reader->n_scratch] = ad_take_memory(reader, AD_BLOCK + 8, sizeof(double));
    }
    return reader->scratch[i];
}

bool ad_may_access(ad_reader *reader, ad_operand operand, ptrdiff_t low, ptrdiff_t high,
                   bool writes)
{
    if (ad_refused(reader)) return false;
    if (operand.space < 0 || operand.space >= reader->n_spaces) {
        ad_refuse_at(reader, AD_NO_SPACE, operand.place);
        return false;
    }
    const ad_buffer *space = &reader->spaces[operand.space];
    if (operand.offset < 0 || operand.offset > space->size || low < -operand.offset ||
        high > space->size - operand.offset)
        ad_refuse_at(reader, AD_OUTSIDE, operand.place);
    else if (writes && !space->writable)
        ad_refuse_at(reader, AD_READ_ONLY, operand.place);
    return !ad_refused(reader);
}

static void note_patch(ad_reader *r, ptrdiff_t argument, double **where, ptrdiff_t offset)
{
    if (r->n_patches == r->patch_room) {
        const ptrdiff_t room = 2 * r->patch_room + 16;
        ad_noted_patch *more = realloc(r->patches, (size_t)room * sizeof *more);
        if (more == NULL) {
            ad_refuse(r, AD_NO_MEMORY);
            return;
        }
        r->patches = more;
        r->patch_room = room;
    }
    r->patches[r->n_patches++] = (ad_noted_patch){argument, where, offset};
    r->program->arguments[argument].n_patches++;
}

void ad_point(ad_reader *reader, const double **where, ad_operand operand)
{
    if (ad_refused(reader)) return;
    const double *data = reader->spaces[operand.space].data;
    if (operand.space > 0 && operand.space <= reader->program->n_arguments)
        note_patch(reader, operand.space - 1, (double **)where, operand.offset);
    else
        *where = operand.offset == 0 ? data : data + operand.offset;
}

void ad_bind(ad_reader *reader, const double **where, ad_operand operand, ptrdiff_t low,
             ptrdiff_t high)
{
    if (ad_may_access(reader, operand, low, high, false)) ad_point(reader, where, operand);
}

void ad_bind_output(ad_reader *reader, double **where, ad_operand operand, ptrdiff_t low,
                    ptrdiff_t high)
{
    if (ad_may_access(reader, operand, low, high, true))
        ad_point(reader, (const double **)where, operand);
}

void ad_keep_apart(ad_reader *reader, ad_operand x, ptrdiff_t n_x, ad_operand z, ptrdiff_t n_z)
{
    if (ad_refused(reader) || x.space != z.space || n_x == 0 || n_z == 0) return;
    if (x.offset < z.offset + n_z && z.offset < x.offset + n_x)
        ad_refuse_at(reader, AD_OVERLAP, z.place);
}
