/** The four looks that a state may have. */
import type { Status } from "../payment/lifecycle";

/** What a badge's colour says: all is well, it waits for somebody, it went wrong, or it is over. */
export type Tone = "good" | "waiting" | "bad" | "over";

/** Of payments. */
export const STATUS_TONES: Readonly<Record<Status, Tone>> = {
  pending: "waiting",
  requires_action: "waiting",
  processing: "waiting",
  authorized: "waiting",
  confirmed: "good",
  failed: "bad",
  cancelled: "over",
  expired: "over",
  refunded: "over",
};
