import { describe, expect, test } from "vitest";
import { isProvoked } from "../quiet";

describe("the terminal of `npm test`", () => {
  test.each([
    'A header value for "X-Request-Id" contains non-ASCII characters: "clé" (raw bytes: "\\x63"). As a quirk to …\n',
    "uncaught exception; exception = workerd/api/actor-state.c++:1249: failed: broken.outputGateBroken; jsg.Error: as by an outage\nstack: …\n",
    'Sourcemap for "/somewhere/node_modules/standardwebhooks/dist/index.js" points to missing source files\n',
  ])("is spared what tests provoke: %s", (text) => {
    expect(isProvoked(text)).toBe(true);
  });

  test.each([
    "uncaught exception; exception = workerd/api/actor-state.c++:1249: failed: broken.outputGateBroken; jsg.Error: D1 is gone\n",
    'Sourcemap for "/somewhere/src/app.ts" points to missing source files\n',
    "(node:1) ExperimentalWarning: SQLite is an experimental feature and might change at any time\n",
    " FAIL  test/worker/http/log.test.ts > A header value\n",
  ])("shows everything else: %s", (text) => {
    expect(isProvoked(text)).toBe(false);
  });
});
