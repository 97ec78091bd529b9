/* The rows behind sp_settings_row(): where each setting lies in struct sp_settings. May include: settings. */
#ifndef SP_SETTINGS_TABLE_H
#define SP_SETTINGS_TABLE_H

#include "settings/settings.h"

enum sp_setting_kind {
	SP_SETTING_INTEGER,  /* int64_t */
	SP_SETTING_UNSIGNED, /* uint64_t */
	SP_SETTING_NUMBER,   /* double */
	SP_SETTING_TEXT,     /* char [size]; one of `words` if there are any */
	SP_SETTING_CHOICE,   /* int, which of `words` */
};

struct sp_setting_entry {
	const char *name; /* section.key */
	enum sp_setting_kind kind;
	size_t offset, size; /* in struct sp_settings */
	const char *initial;
	const char *range; /* an interval, "[1,65536]" or "(0,1)"; "" for text and choices */
	const char *words; /* "post|pre"; "" if there are none */
	const char *help;
};

/* Sentinel: name NULL. */
extern const struct sp_setting_entry sp_settings_table[];

/* Which of the words "a|b|c" `text` is, or -1. */
int sp_settings_which(const char *words, const char *text);

#endif
