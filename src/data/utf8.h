/* One code point from and to UTF-8. May include: libc. */
#ifndef SP_DATA_UTF8_H
#define SP_DATA_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* How many bytes a sequence that begins with `lead` has (0: none begins so), and the range of its second byte, which
 * is what rules out overlong forms, surrogates and values over U+10FFFF (Unicode 15, table 3-7). */
static inline int sp_utf8_shape(unsigned char lead, unsigned char *low, unsigned char *high)
{
	*low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
	*high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
	return lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
}

/* Reads the code point at `text` (size >= 1). Returns how many bytes it has. For bytes that are not UTF-8, *code is -1
 * and the return value covers what one U+FFFD stands for: the longest beginning of a sequence, or one byte. *cut (may
 * be NULL) tells that this is because the text ends within a sequence. */
static inline size_t sp_utf8_next(const char *text, size_t size, int32_t *code, int *cut)
{
	const unsigned char *p = (const unsigned char *)text;
	unsigned char low, high;
	int length = sp_utf8_shape(p[0], &low, &high);
	int32_t value = length == 1 ? p[0] : p[0] & (0x7F >> length);
	for (int i = 1; i < length; i++, low = 0x80, high = 0xBF) {
		if ((size_t)i >= size || p[i] < low || p[i] > high) {
			if (cut)
				*cut = (size_t)i >= size;
			*code = -1;
			return (size_t)i;
		}
		value = value << 6 | (p[i] & 0x3F);
	}
	if (cut)
		*cut = 0;
	*code = length == 0 ? -1 : value;
	return length == 0 ? 1 : (size_t)length;
}

/* Writes a code point (0 .. 0x10FFFF), at most 4 bytes; returns how many. */
static inline size_t sp_utf8_put(int32_t code, char *text)
{
	unsigned char *p = (unsigned char *)text;
	if (code < 0x80) {
		p[0] = (unsigned char)code;
		return 1;
	}
	int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
	p[0] = (unsigned char)((0xFF00 >> (more + 1)) | code >> (6 * more));
	for (int i = 1; i <= more; i++)
		p[i] = (unsigned char)(0x80 | (code >> (6 * (more - i)) & 0x3F));
	return (size_t)more + 1;
}

#endif
