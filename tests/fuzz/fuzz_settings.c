/* Files of settings: what is accepted prints as values that are accepted again. */
#include "config.h"

#include "base/log.h"
#include "fuzz/fuzz.h"
#include "settings/settings.h"

#include <stdio.h>
#include <string.h>

static void check(const struct sp_settings *s)
{
	struct sp_settings again;
	struct sp_setting_row row;
	sp_settings_default(&again);
	for (size_t i = 0; sp_settings_row(i, &row) == 0; i++) {
		char value[SP_TEXT], word[SP_TEXT + 128], back[SP_TEXT];
		sp_settings_value(s, i, value, sizeof value);
		snprintf(word, sizeof word, "%s=%s", row.name, value);
		fuzz_must(sp_settings_word(&again, word) == SP_OK);
		sp_settings_value(&again, i, back, sizeof back);
		fuzz_must(strcmp(value, back) == 0);
	}
	sp_settings_finish(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_settings settings;
	sp_log_level(SP_LOG_NONE);
	sp_settings_default(&settings);
	if (sp_settings_parse(&settings, "s", (const char *)data, size) == SP_OK)
		check(&settings);
	return 0;
}
