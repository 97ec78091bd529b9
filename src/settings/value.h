/* One setting from text and back. May include: settings. */
#ifndef SP_SETTINGS_VALUE_H
#define SP_SETTINGS_VALUE_H

#include "settings/table.h"

/* Sets the entry's member from `text`, blanks around it already removed. SP_ERR_SETTING (what is wrong and what was
 * expected in `why`, nothing logged, member unchanged). */
int sp_settings_set(struct sp_settings *s, const struct sp_setting_entry *entry, const char *text, char *why,
                    size_t size);

#endif
