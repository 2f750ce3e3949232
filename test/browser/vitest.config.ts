import path from "node:path";
import { defineConfig } from "vitest/config";

// Apart from `npm test`, because it needs a Chromium, which npm does not install.
const root = path.join(import.meta.dirname, "../..");
export default defineConfig({
  test: {
    root,
    include: ["test/browser/**/*.test.ts"],
    reporters: ["default", path.join(root, "test/count-reporter.ts")],
    testTimeout: 60_000,
  },
});
