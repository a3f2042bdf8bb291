/* AD_TARGETS: this compiler can build functions for several x86-64 levels in one program
 * (`#pragma GCC target`, with the levels' names known since GCC 11). Others build `base`. */
#if defined(__x86_64__) && defined(__GNUC__) && __GNUC__ >= 11 && !defined(__clang__)
#define AD_TARGETS
#endif
