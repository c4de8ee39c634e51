/** A property gets this long per mutant: what breaks one does so in its first cases, or does not matter. */

import fc from "fast-check";

fc.configureGlobal({ interruptAfterTimeLimit: 200 });
