/* The known name most like a mistyped one. May include: libc. */
#ifndef SP_SETTINGS_NEAREST_H
#define SP_SETTINGS_NEAREST_H

/* Name of the setting with the smallest edit distance (Levenshtein 1966, a swap of neighbours counting one) to `name`,
 * or to its part after the dot where `name` has none. Never NULL. */
const char *sp_settings_nearest(const char *name);

#endif
