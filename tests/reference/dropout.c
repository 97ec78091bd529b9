#include "config.h"

#include "reference/reference.h"

/* Philox4x32-10 as in Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 4.3: ten rounds of
 *   L' = mulhi(R, M) xor k xor L,  R' = mullo(R, M)
 * on two pairs with their halves exchanged, the key advanced by Weyl constants between rounds. */
void sp_reference_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
	uint32_t c[4] = { counter[0], counter[1], counter[2], counter[3] };
	for (uint32_t round = 0; round < 10; round++) {
		const uint64_t p = (uint64_t)c[0] * UINT64_C(0xD2511F53);
		const uint64_t q = (uint64_t)c[2] * UINT64_C(0xCD9E8D57);
		const uint32_t next[4] = {
			(uint32_t)(q >> 32) ^ c[1] ^ (key[0] + round * UINT32_C(0x9E3779B9)),
			(uint32_t)q,
			(uint32_t)(p >> 32) ^ c[3] ^ (key[1] + round * UINT32_C(0xBB67AE85)),
			(uint32_t)p,
		};
		for (int i = 0; i < 4; i++)
			c[i] = next[i];
	}
	for (int i = 0; i < 4; i++)
		out[i] = c[i];
}

double sp_reference_dropout(const struct sp_dropout *dropout, uint32_t column, uint32_t y, uint32_t z)
{
	if (dropout->keep == 65536)
		return 1;
	const uint32_t counter[4] = { column / 8, y, z, 0 };
	uint32_t word[4];
	sp_reference_philox(dropout->key, counter, word);
	const uint32_t half = word[column % 8 / 2] >> (column % 2 ? 16 : 0) & 0xFFFF;
	return half < dropout->keep ? 65536.0 / dropout->keep : 0;
}

double sp_reference_row_dropout(const struct sp_dropout *dropout, const struct sp_rows *rows, int64_t row, int64_t column)
{
	if (dropout->keep == 65536)
		return 1;
	const uint32_t token = rows->first + (uint32_t)(row % rows->chunk);
	return sp_reference_dropout(dropout, (uint32_t)column, token, rows->sample[row / rows->chunk]);
}
