/* NumPy arrays by the C-API: a tenth of the cost of a memoryview. Included once, by
 * _core.c, after import_array is known there. */
#ifndef AD_ARRAYS_H
#define AD_ARRAYS_H

#include <Python.h>
#include <numpy/arrayobject.h>

#include <string.h>

/* A C-contiguous, aligned float64 array of the machine's byte order. */
static inline int ad_is_array(PyObject *x)
{
    const int flags = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED;
    if (!PyArray_Check(x)) return 0;
    PyArrayObject *array = (PyArrayObject *)x;
    return PyArray_TYPE(array) == NPY_DOUBLE && (PyArray_FLAGS(array) & flags) == flags &&
           PyArray_ISNOTSWAPPED(array);
}

static inline double *ad_data(PyObject *x) { return PyArray_DATA((PyArrayObject *)x); }
static inline int ad_axes(PyObject *x) { return PyArray_NDIM((PyArrayObject *)x); }
static inline const ptrdiff_t *ad_shape(PyObject *x)
{
    return (const ptrdiff_t *)PyArray_DIMS((PyArrayObject *)x);
}
static inline ptrdiff_t ad_size(PyObject *x) { return PyArray_SIZE((PyArrayObject *)x); }

static inline int ad_same_shape(int x_axes, const ptrdiff_t *x_shape, int y_axes,
                                const ptrdiff_t *y_shape)
{
    if (x_axes != y_axes) return 0;
    for (int i = 0; i < x_axes; i++)
        if (x_shape[i] != y_shape[i]) return 0;
    return 1;
}

/* A new array of undefined numbers. */
static inline PyObject *ad_new(int axes, const ptrdiff_t *shape)
{
    static PyArray_Descr *float64 = NULL;
    if (float64 == NULL) float64 = PyArray_DescrFromType(NPY_DOUBLE);
    Py_INCREF(float64);
    return PyArray_NewFromDescr(&PyArray_Type, float64, axes, (npy_intp *)shape, NULL, NULL, 0,
                                NULL);
}

static inline int ad_is_writeable(PyObject *x) { return PyArray_ISWRITEABLE((PyArrayObject *)x); }

/* A new array over `data`, which `owner` keeps alive, that can never be written: to set its
 * flag NumPy asks the owner, so that must not be an array. Steals no reference. */
static inline PyObject *ad_new_sealed(int axes, const ptrdiff_t *shape, double *data,
                                      PyObject *owner)
{
    PyArray_Descr *float64 = PyArray_DescrFromType(NPY_DOUBLE);
    PyObject *array = PyArray_NewFromDescr(&PyArray_Type, float64, axes, (npy_intp *)shape, NULL,
                                           data, NPY_ARRAY_CARRAY_RO, NULL);
    if (array == NULL) return NULL;
    Py_INCREF(owner);
    if (PyArray_SetBaseObject((PyArrayObject *)array, owner) < 0) {
        Py_DECREF(array);
        return NULL;
    }
    return array;
}

#endif
