import path from "node:path";
import { defineConfig } from "vitest/config";

// Apart from `npm test`, because it needs a Chromium, which npm does not install.
const root = path.join(import.meta.dirname, "../..");
export default defineConfig({
  // The routers of the dashboard, from which the views are listed, import what stands on Workers alone.
  resolve: { alias: { "cloudflare:workers": path.join(root, "test/proof/cloudflare-workers.ts") } },
  test: {
    root,
    include: ["test/browser/**/*.test.ts"],
    reporters: ["default", path.join(root, "test/count-reporter.ts")],
    testTimeout: 60_000,
  },
});
