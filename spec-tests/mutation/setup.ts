/** Limits the time of each property per mutant. Mutants that break a property do so in its first cases. */

import fc from "fast-check";

fc.configureGlobal({ interruptAfterTimeLimit: 200 });
