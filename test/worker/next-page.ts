/** The page that a payer is sent to. */
import type { NextAction } from "../../src/provider/seam";

/** The URL of the page that a next action leads to; the empty text where it leads to none. */
export const nextPage = (action: NextAction | null): string => (action?.type === "redirect" ? action.url : "");
