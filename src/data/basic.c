#include "config.h"

#include "data/basic.h"

#include "base/log.h"
#include "base/size.h"
#include "data/utf8.h"

#include <stdlib.h>
#include <utf8proc.h>

/* Canonical decomposition makes at most four code points of one. */
#define GROWTH 4

enum kind { LETTER = 0, SPACE, DROP, PUNCTUATION, IDEOGRAPH };

struct range {
	int32_t first, last;
};

static int within(const struct range *range, size_t count, int32_t code)
{
	for (size_t i = 0; i < count; i++)
		if (code >= range[i].first && code <= range[i].last)
			return 1;
	return 0;
}

#define WITHIN(table, code) within(table, sizeof table / sizeof *table, code)

/* The blocks that BERT calls Chinese characters: not Hangul, Hiragana or Katakana, nor the blocks added later. */
static const struct range ideographs[] = {
	{ 0x4E00, 0x9FFF },   { 0x3400, 0x4DBF },   { 0x20000, 0x2A6DF }, { 0x2A700, 0x2B73F },
	{ 0x2B740, 0x2B81F }, { 0x2B820, 0x2CEAF }, { 0xF900, 0xFAFF },   { 0x2F800, 0x2FA1F },
};

static enum kind ascii_kind(int32_t c)
{
	static const struct range marks[] = { { 33, 47 }, { 58, 64 }, { 91, 96 }, { 123, 126 } };
	if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
		return SPACE;
	if (c < 32 || c == 127)
		return DROP;
	return WITHIN(marks, c) ? PUNCTUATION : LETTER;
}

static enum kind wide_kind(int32_t code)
{
	switch (utf8proc_category(code)) {
	case UTF8PROC_CATEGORY_CC:
	case UTF8PROC_CATEGORY_CF:
	case UTF8PROC_CATEGORY_CO:
		return DROP;
	case UTF8PROC_CATEGORY_ZS:
	case UTF8PROC_CATEGORY_ZL:
	case UTF8PROC_CATEGORY_ZP:
		return SPACE;
	case UTF8PROC_CATEGORY_PC:
	case UTF8PROC_CATEGORY_PD:
	case UTF8PROC_CATEGORY_PS:
	case UTF8PROC_CATEGORY_PE:
	case UTF8PROC_CATEGORY_PI:
	case UTF8PROC_CATEGORY_PF:
	case UTF8PROC_CATEGORY_PO:
		return PUNCTUATION;
	default:
		return code == 0xFFFD ? DROP : WITHIN(ideographs, code) ? IDEOGRAPH : LETTER;
	}
}

static enum kind kind_of(int32_t code)
{
	return code < 0 ? DROP : code < 128 ? ascii_kind(code) : wide_kind(code);
}

/* Python's lower() turns a capital sigma at the end of a word into the final form, after the Final_Sigma condition of
 * the Unicode standard (3.13): before it a cased letter, after it none, where case-ignorable characters are looked
 * through. */
static int is_case_ignorable(int32_t code)
{
	/* Word_Break = MidLetter, MidNumLet, Single_Quote; the rest follows from the category. */
	static const struct range marks[] = {
		{ 0x27, 0x27 },     { 0x2E, 0x2E },     { 0x3A, 0x3A },     { 0xB7, 0xB7 },
		{ 0x387, 0x387 },   { 0x55F, 0x55F },   { 0x5F4, 0x5F4 },   { 0x2018, 0x2019 },
		{ 0x2024, 0x2024 }, { 0x2027, 0x2027 }, { 0xFE13, 0xFE13 }, { 0xFE52, 0xFE52 },
		{ 0xFE55, 0xFE55 }, { 0xFF07, 0xFF07 }, { 0xFF0E, 0xFF0E }, { 0xFF1A, 0xFF1A },
	};
	utf8proc_category_t category = utf8proc_category(code);
	return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME || category == UTF8PROC_CATEGORY_CF ||
	       category == UTF8PROC_CATEGORY_LM || category == UTF8PROC_CATEGORY_SK || WITHIN(marks, code);
}

static int is_cased(int32_t code)
{
	/* Other_Uppercase, and of Other_Lowercase what is not case-ignorable anyway. */
	static const struct range others[] = {
		{ 0xAA, 0xAA },         { 0xBA, 0xBA },         { 0x2160, 0x217F },     { 0x24B6, 0x24E9 },
		{ 0x1F130, 0x1F149 }, { 0x1F150, 0x1F169 }, { 0x1F170, 0x1F189 },
	};
	utf8proc_category_t category = utf8proc_category(code);
	return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT ||
	       WITHIN(others, code);
}

static int is_final_sigma(const int32_t *code, size_t count, size_t i)
{
	size_t before = i, after = i + 1;
	while (before > 0 && is_case_ignorable(code[before - 1]))
		before--;
	while (after < count && is_case_ignorable(code[after]))
		after++;
	return before > 0 && is_cased(code[before - 1]) && (after == count || !is_cased(code[after]));
}

/* In place: looking back from a sigma at letters already in lower case changes nothing, as both cases are cased. */
static void lower(int32_t *code, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (code[i] < 128)
			code[i] += code[i] >= 'A' && code[i] <= 'Z' ? 'a' - 'A' : 0;
		else if (code[i] == 0x3A3)
			code[i] = is_final_sigma(code, count, i) ? 0x3C2 : 0x3C3;
		else
			code[i] = utf8proc_tolower(code[i]);
	}
}

static int combining_class(int32_t code)
{
	return code < 0x300 ? 0 : utf8proc_get_property(code)->combining_class;
}

/* Stable, within runs of non-zero classes: the canonical ordering. Runs are short, except in nonsense. */
static void order_marks(int32_t *code, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		int32_t moving = code[i];
		int class = combining_class(moving);
		size_t place = i;
		while (class != 0 && place > 0 && combining_class(code[place - 1]) > class) {
			code[place] = code[place - 1];
			place--;
		}
		code[place] = moving;
	}
}

/* code -> spare, canonically decomposed, without marks; returns the new count. */
static size_t strip_accents(const struct sp_basic *b, size_t count)
{
	size_t wide = 0, kept = 0;
	int unused = 0;
	for (size_t i = 0; i < count; i++) {
		if (b->code[i] < 0xC0)
			b->spare[wide++] = b->code[i];
		else
			wide += (size_t)utf8proc_decompose_char(b->code[i], b->spare + wide, GROWTH, UTF8PROC_DECOMPOSE, &unused);
	}
	order_marks(b->spare, wide);
	for (size_t i = 0; i < wide; i++)
		if (b->spare[i] < 0x300 || utf8proc_category(b->spare[i]) != UTF8PROC_CATEGORY_MN)
			b->spare[kept++] = b->spare[i];
	return kept;
}

struct sink {
	int (*word)(void *context, const char *word, size_t size, size_t chars);
	void *context;
};

static int emit(const struct sp_basic *b, const int32_t *code, size_t count, const struct sink *sink)
{
	size_t size = 0;
	for (size_t i = 0; i < count; i++)
		size += sp_utf8_put(code[i], b->text + size);
	return count ? sink->word(sink->context, b->text, size, count) : 0;
}

/* A stretch between blanks, in b->code: folded if uncased, then cut at punctuation. */
static int finish_stretch(const struct sp_basic *b, size_t count, int ascii, const struct sink *sink)
{
	const int32_t *code = b->code;
	size_t from = 0;
	int status = 0;
	if (!b->cased)
		lower(b->code, count);
	if (!b->cased && !ascii) {
		count = strip_accents(b, count);
		code = b->spare;
	}
	for (size_t i = 0; i < count && status == 0; i++) {
		if (kind_of(code[i]) != PUNCTUATION)
			continue;
		status = emit(b, code + from, i - from, sink);
		if (status == 0)
			status = emit(b, code + i, 1, sink);
		from = i + 1;
	}
	return status == 0 ? emit(b, code + from, count - from, sink) : status;
}

static int make_room(struct sp_basic *b, size_t size)
{
	size_t bytes;
	if (size <= b->room)
		return SP_OK;
	sp_basic_free(b);
	if (!sp_size_mul(size, GROWTH * sizeof *b->spare, &bytes)) {
		b->code = malloc(size * sizeof *b->code);
		b->spare = malloc(bytes);
		b->text = malloc(bytes);
	}
	if (!b->code || !b->spare || !b->text) {
		sp_basic_free(b);
		return sp_fail(SP_ERR_MEMORY, "no memory to cut %zu bytes of text into words", size);
	}
	b->room = size;
	return SP_OK;
}

void sp_basic_free(struct sp_basic *b)
{
	free(b->code);
	free(b->spare);
	free(b->text);
	b->code = b->spare = NULL;
	b->text = NULL;
	b->room = 0;
}

int sp_basic_split(struct sp_basic *b, const char *text, size_t size,
                   int (*word)(void *context, const char *word, size_t size, size_t chars), void *context)
{
	const struct sink sink = { word, context };
	size_t count = 0;
	int ascii = 1, status = make_room(b, size);
	for (size_t i = 0; i < size && status == 0;) {
		int32_t code;
		i += sp_utf8_next(text + i, size - i, &code, NULL);
		enum kind kind = kind_of(code);
		if (kind == DROP)
			continue;
		if (kind == SPACE || kind == IDEOGRAPH) {
			status = finish_stretch(b, count, ascii, &sink);
			count = 0;
			ascii = 1;
		}
		if (kind != SPACE) {
			b->code[count++] = code;
			ascii &= code < 128;
		}
		if (kind == IDEOGRAPH && status == 0) {
			status = finish_stretch(b, count, 0, &sink);
			count = 0;
			ascii = 1;
		}
	}
	return status == 0 ? finish_stretch(b, count, ascii, &sink) : status;
}
