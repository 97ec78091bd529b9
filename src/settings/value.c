#include "config.h"

#include "settings/value.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *member(struct sp_settings *s, const struct sp_setting_entry *e)
{
	return (char *)s + e->offset;
}

/* The interval is written as mathematicians do, and that text is also what help shows. */
static int inside(const char *range, double x)
{
	char open, close;
	double low, high;
	if (sscanf(range, "%c%lf,%lf%c", &open, &low, &high, &close) != 4)
		return 1;
	return (open == '[' ? x >= low : x > low) && (close == ']' ? x <= high : x < high);
}

static int out_of_range(const struct sp_setting_entry *e, const char *text, char *why, size_t size)
{
	return sp_say(SP_ERR_SETTING, why, size, "%s is out of range, expected a value in %s", text, e->range);
}

static int set_integer(void *to, const struct sp_setting_entry *e, const char *text, char *why, size_t size)
{
	char *end;
	errno = 0;
	long long x = strtoll(text, &end, 10);
	if (end == text || *end)
		return sp_say(SP_ERR_SETTING, why, size, "\"%s\" is not an integer, expected one in %s", text, e->range);
	if (errno == ERANGE || !inside(e->range, (double)x))
		return out_of_range(e, text, why, size);
	*(int64_t *)to = x;
	return SP_OK;
}

static int set_unsigned(void *to, const struct sp_setting_entry *e, const char *text, char *why, size_t size)
{
	char *end;
	errno = 0;
	unsigned long long x = strtoull(text, &end, 10);
	if (end == text || *end)
		return sp_say(SP_ERR_SETTING, why, size, "\"%s\" is not an integer, expected one in %s", text, e->range);
	if (errno == ERANGE || text[0] == '-')
		return out_of_range(e, text, why, size);
	*(uint64_t *)to = x;
	return SP_OK;
}

static int set_number(void *to, const struct sp_setting_entry *e, const char *text, char *why, size_t size)
{
	char *end;
	double x = strtod(text, &end);
	/* strtod also takes inf, nan and hexadecimal, which here are typing errors. */
	if (end == text || *end || text[strspn(text, "+-.0123456789eE")])
		return sp_say(SP_ERR_SETTING, why, size, "\"%s\" is not a number, expected one in %s", text, e->range);
	if (!isfinite(x) || !inside(e->range, x))
		return out_of_range(e, text, why, size);
	*(double *)to = x;
	return SP_OK;
}

static int set_text(void *to, const struct sp_setting_entry *e, const char *text, char *why, size_t size)
{
	if (e->words[0] && sp_settings_which(e->words, text) < 0)
		return sp_say(SP_ERR_SETTING, why, size, "\"%s\" is not one of %s", text, e->words);
	if (strlen(text) >= e->size)
		return sp_say(SP_ERR_SETTING, why, size, "text of %zu bytes is too long, at most %zu fit", strlen(text),
		              e->size - 1);
	memset(to, 0, e->size);
	memcpy(to, text, strlen(text));
	return SP_OK;
}

static int set_choice(void *to, const struct sp_setting_entry *e, const char *text, char *why, size_t size)
{
	int which = sp_settings_which(e->words, text);
	if (which < 0)
		return sp_say(SP_ERR_SETTING, why, size, "\"%s\" is not one of %s", text, e->words);
	*(int *)to = which;
	return SP_OK;
}

static int (*const setters[])(void *to, const struct sp_setting_entry *e, const char *text, char *why, size_t size) = {
	[SP_SETTING_INTEGER] = set_integer, [SP_SETTING_UNSIGNED] = set_unsigned, [SP_SETTING_NUMBER] = set_number,
	[SP_SETTING_TEXT] = set_text,       [SP_SETTING_CHOICE] = set_choice,
};

int sp_settings_set(struct sp_settings *s, const struct sp_setting_entry *e, const char *text, char *why, size_t size)
{
	return setters[e->kind](member(s, e), e, text, why, size);
}

/* The shortest decimal that reads back as the same double. */
static void print_number(double x, char *text, size_t size)
{
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, size, "%.*g", digits, x);
		if (strtod(text, NULL) == x)
			return;
	}
}

static void print_choice(int which, const char *words, char *text, size_t size)
{
	while (which-- > 0)
		words += strcspn(words, "|") + 1;
	snprintf(text, size, "%.*s", (int)strcspn(words, "|"), words);
}

void sp_settings_value(const struct sp_settings *s, size_t i, char *text, size_t size)
{
	const struct sp_setting_entry *e = &sp_settings_table[i];
	const void *from = (const char *)s + e->offset;
	switch (e->kind) {
	case SP_SETTING_INTEGER:
		snprintf(text, size, "%" PRId64, *(const int64_t *)from);
		break;
	case SP_SETTING_UNSIGNED:
		snprintf(text, size, "%" PRIu64, *(const uint64_t *)from);
		break;
	case SP_SETTING_NUMBER:
		print_number(*(const double *)from, text, size);
		break;
	case SP_SETTING_TEXT:
		snprintf(text, size, "%s", (const char *)from);
		break;
	case SP_SETTING_CHOICE:
		print_choice(*(const int *)from, e->words, text, size);
		break;
	}
}
