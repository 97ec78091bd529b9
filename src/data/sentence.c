#include "config.h"

#include "data/sentence.h"

#include "data/utf8.h"

#include <string.h>
#include <utf8proc.h>

/* After these a capital usually goes on with the sentence. In lower case, without the last stop. */
static const char *const abbreviations[] = {
	"mr", "mrs", "ms", "messrs", "mme", "mlle", "dr", "prof", "rev", "fr", "hon", "st", "sr", "jr", "gen", "col",
	"maj", "capt", "cpt", "cmdr", "lt", "sgt", "cpl", "adm", "gov", "sen", "rep", "pres", "supt", "insp", "mt",
	"vol", "vols", "ch", "chap", "fig", "figs", "eq", "eqs", "ed", "eds", "pp", "cf", "vs", "viz", "ca", "approx",
	"al", "ibid", "dept", "univ", "assn", "bros", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sept", "sep",
	"oct", "nov", "dec", "mon", "tue", "tues", "wed", "thu", "thurs", "fri",
};

static int is_one_of(int32_t code, const int32_t *list)
{
	while (*list && *list != code)
		list++;
	return *list != 0;
}

/* Quotes that look the same on both sides are in both lists. */
static int is_closing(int32_t code)
{
	static const int32_t list[] = { '"', '\'', ')', ']', '}', 0x201D, 0x2019, 0xBB, 0x203A, 0x300D, 0x300F, 0xFF09, 0 };
	return is_one_of(code, list);
}

static int is_opening(int32_t code)
{
	static const int32_t list[] = { '"', '\'', '(', '[', '{', 0x201C, 0x2018, 0x201E, 0xAB, 0x2039, 0xBF, 0xA1, 0 };
	return is_one_of(code, list);
}

/* Marks that need no blank after them. */
static int is_full_width_end(int32_t code)
{
	static const int32_t list[] = { 0x3002, 0xFF01, 0xFF1F, 0 };
	return is_one_of(code, list);
}

static int is_end(int32_t code)
{
	return code == '.' || code == '!' || code == '?' || code == 0x2026 || is_full_width_end(code);
}

static int is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static int begins_sentence(int32_t code)
{
	utf8proc_category_t category;
	if (code < 128)
		return (code >= 'A' && code <= 'Z') || is_opening(code);
	category = utf8proc_category(code);
	return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LT || category == UTF8PROC_CATEGORY_LO ||
	       is_opening(code);
}

static int is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

static int is_listed(const char *word, size_t size)
{
	char low[8];
	if (size >= sizeof low)
		return 0;
	for (size_t i = 0; i < size; i++)
		low[i] = word[i] >= 'A' && word[i] <= 'Z' ? (char)(word[i] - 'A' + 'a') : word[i];
	low[size] = 0;
	for (size_t i = 0; i < sizeof abbreviations / sizeof *abbreviations; i++)
		if (strcmp(abbreviations[i], low) == 0)
			return 1;
	return 0;
}

/* Whether the full stop at `stop` belongs to the word before it. */
static int is_abbreviation(const char *text, size_t stop)
{
	size_t begin = stop;
	while (begin > 0 && is_letter(text[begin - 1]))
		begin--;
	if (stop - begin == 1 && begin > 0 && text[begin - 1] == '.') /* U.S., e.g.; but p.m. often comes last */
		return text[stop - 1] != 'm';
	if (stop - begin == 1) /* an initial, unless it is the word I */
		return text[begin] >= 'A' && text[begin] <= 'Z' && text[begin] != 'I';
	return stop > begin && is_listed(text + begin, stop - begin);
}

/* Steps over characters from `i` on that `wanted` accepts; *last is the last of them, if any. */
static size_t step_over(const char *text, size_t size, size_t i, int (*wanted)(int32_t), int32_t *last)
{
	while (i < size) {
		int32_t code;
		size_t length = sp_utf8_next(text + i, size - i, &code, NULL);
		if (!wanted(code))
			break;
		*last = code;
		i += length;
	}
	return i;
}

/* The end of the sentence whose first end mark is at `mark`, or 0 if it goes on. *next is where to look further. */
static size_t end_at(const char *text, size_t size, size_t mark, size_t *next)
{
	int32_t last = 0, ignored, code;
	size_t marks = step_over(text, size, mark, is_end, &last);
	size_t end = step_over(text, size, marks, is_closing, &ignored), begin = end;
	*next = marks;
	if (is_full_width_end(last))
		return end < size ? end : 0;
	while (begin < size && is_blank(text[begin]))
		begin++;
	if (begin == end || begin == size)
		return 0;
	sp_utf8_next(text + begin, size - begin, &code, NULL);
	if (!begins_sentence(code) || (end - mark == 1 && last == '.' && is_abbreviation(text, mark)))
		return 0;
	return end;
}

/* Bytes that an end mark may begin with; none of them is found within another character. */
static int may_be_end(unsigned char c)
{
	return c == '.' || c == '!' || c == '?' || c == 0xE2 || c == 0xE3 || c == 0xEF;
}

size_t sp_sentence_end(const char *text, size_t size)
{
	size_t i = 0;
	while (i < size) {
		int32_t code;
		if (!may_be_end((unsigned char)text[i])) {
			i++;
			continue;
		}
		size_t next = i + sp_utf8_next(text + i, size - i, &code, NULL);
		size_t end = is_end(code) ? end_at(text, size, i, &next) : 0;
		if (end)
			return end;
		i = next;
	}
	return 0;
}
