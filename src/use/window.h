/* A window of documents: as many as are embedded together, read on rank 0 and given to all. May include: data/text.h,
 * use/use.h. */
#ifndef SP_USE_WINDOW_H
#define SP_USE_WINDOW_H

#include "data/text.h"
#include "use/use.h"

enum { SP_WINDOW_DOCUMENTS = 1024 };

struct sp_window {
	struct sp_use *use;
	struct sp_text *text; /* NULL but on rank 0 */
	int64_t most_ids;     /* a window ends with the document that reaches this */
	int truncate;

	struct sp_ids ids; /* of the documents, one after the other; on rank 0 the beginning of the next one may follow */
	int64_t documents, before; /* in this window, and in those before it */
	int64_t end[SP_WINDOW_DOCUMENTS]; /* of each document in ids */
	unsigned char truncated[SP_WINDOW_DOCUMENTS + 1]; /* and of the one that has begun */
	int open; /* a document has begun that has not ended */
	int over; /* the text has ended */
};

/* The next documents: 1, 0 after the last, or an error, which is rank 0's on all ranks. `status` is rank 0's reason to
 * stop, if any. Collective. */
int sp_window_next(struct sp_window *w, int status);
struct sp_use_document sp_window_document(const struct sp_window *w, int64_t d);
void sp_window_free(struct sp_window *w);

#endif
