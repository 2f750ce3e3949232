/**
 * `npm run bench`: how fast the service is, and what it costs.
 *
 *     npm run bench                      everything, some half an hour, into RESULTS.md
 *     npm run bench -- --only floor      one part: floor, growth, cost or start
 *     npm run bench -- --quick           a short run that only prints
 */
import { parseArgs } from "node:util";
import { againstFloor } from "./against-floor.ts";
import { cost } from "./cost.ts";
import { growth } from "./growth.ts";
import type { Part } from "./part.ts";
import { record } from "./results.ts";
import { start } from "./start.ts";
import { inWorkshop } from "./workshop.ts";

const PARTS: ReadonlyMap<string, Part> = new Map([
  ["floor", againstFloor],
  ["growth", growth],
  ["cost", cost],
  ["start", start],
]);
/** In milliseconds; far beyond what an idle machine needs. */
const LIMIT = 45 * 60_000;

const options = { quick: { type: "boolean", default: false }, only: { type: "string" } } as const;
const { quick, only } = parseArgs({ options }).values;
const parts = [...PARTS].filter(([name]) => only === undefined || name === only);
if (parts.length === 0) throw new Error(`--only takes ${[...PARTS.keys()].join(", ")}`);

await inWorkshop(LIMIT, async (workshop) => {
  for (const [name, part] of parts) {
    const started = Date.now();
    const body = await part.run(workshop, quick);
    console.log(`\n## ${part.title}\n\n${body}\n\n(${name}: ${((Date.now() - started) / 1000).toFixed(0)} s)\n`);
    if (!quick) record(part.title, "npm run bench", body);
  }
});
