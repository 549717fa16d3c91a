/* cli/version.h: what this program is, for bug reports and for the record of a run. */
#ifndef CLI_VERSION_H
#define CLI_VERSION_H

#include "base/buf.h"

/* "0.1.0" or "0.1.0 (a70efae)" where the build knew the commit. */
const char *version_short(void);
const char *version_compiler(void); /* as "gcc 12.2.0" */

/* Version, compiler, instruction set, threads and libraries, one a line; no dates, so
 * that one machine prints the same twice. */
void version_print(struct buf *out);

#endif
