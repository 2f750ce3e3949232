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
