// zod, as wrangler.toml's [alias] puts it into the bundle: the modules of its own entry point, without
// its fifty translations, `core` and JSON Schema, which a request never needs and esbuild cannot shake
// out. A third of the bundle. Compare with zod/v4/classic/external.js when zod is updated.
import * as z from "./zod.mjs";

export * from "../node_modules/zod/v4/classic/checks.js";
export * as coerce from "../node_modules/zod/v4/classic/coerce.js";
export * from "../node_modules/zod/v4/classic/compat.js";
export * from "../node_modules/zod/v4/classic/errors.js";
export * as iso from "../node_modules/zod/v4/classic/iso.js";
export * from "../node_modules/zod/v4/classic/parse.js";
export * from "../node_modules/zod/v4/classic/schemas.js";
export { config, globalRegistry, NEVER, regexes, registry, util } from "../node_modules/zod/v4/core/index.js";
export { z, z as default };
