/** One question that the benchmark answers. */
import type { Workshop } from "./workshop.ts";

export interface Part {
  /** Names the section in the results. */
  readonly title: string;
  /**
   * @param quick a short run that shows that all works; its figures are not to be quoted
   * @returns Markdown
   */
  run(workshop: Workshop, quick: boolean): Promise<string>;
}

/** How the measured service limits rates (bench/service), for the text of a part. */
export const RATE_LIMITS = `Rate limits are counted in memory, as on Cloudflare
(developers.cloudflare.com/workers/runtime-apis/bindings/rate-limit); the development runtime would ask an object, and
its SQL, for each request. The line that each request logs is made and not written: here it would go through a pipe
into the process that measures.`;
