/** Until when a dispute may be answered, and how it looks. */
import type { z } from "@hono/zod-openapi";
import type { DisputeSchema } from "../../payment/routes/dispute-schemas";
import { Badge, Time } from "../format";
import type { Tone } from "../tones";
import type { Visit } from "../visit";

export type DisputeAnswer = z.output<typeof DisputeSchema>;

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** From so many days on, a deadline is marked as urgent. */
const URGENT_DAYS = 3;

/** What is left until a deadline, in whole days; in hours on the last one. Pure. */
export function leftText(due: number, now: number): { readonly tone: Tone; readonly text: string } {
  const left = due - now;
  if (left <= 0) return { tone: "over", text: "deadline passed" };
  const days = Math.floor(left / DAY_MS);
  const tone = days < URGENT_DAYS ? "bad" : "waiting";
  const hours = Math.floor(left / HOUR_MS);
  if (days >= 1) return { tone, text: `${days} ${days === 1 ? "day" : "days"} left` };
  if (hours >= 1) return { tone, text: `${hours} ${hours === 1 ? "hour" : "hours"} left` };
  return { tone, text: "less than an hour left" };
}

export const isAnswerable = ({ state }: Pick<DisputeAnswer, "state">): boolean =>
  state === "open" || state === "inquiry";

/** Until when evidence is taken, with what is left of it for a dispute that may still be answered. */
export function Deadline({ visit, dispute }: { visit: Visit; dispute: DisputeAnswer }) {
  const { due_at } = dispute;
  if (due_at === null) return <span class="quiet-text">{isAnswerable(dispute) ? "The provider names none" : "–"}</span>;
  return (
    <>
      {isAnswerable(dispute) && (
        <>
          <Badge {...leftText(Date.parse(due_at), Date.now())} />{" "}
        </>
      )}
      <Time visit={visit} at={due_at} />
    </>
  );
}

const TONES: Readonly<Record<DisputeAnswer["state"], Tone>> = {
  inquiry: "waiting",
  open: "bad",
  won: "good",
  lost: "over",
};

/** What a state means for the money. */
export const STATE_MEANINGS: Readonly<Record<DisputeAnswer["state"], string>> = {
  inquiry: "The bank asks first: nothing was taken back yet.",
  open: "The amount is taken back until it is decided.",
  won: "The amount is yours again.",
  lost: "The amount went back to the payer.",
};

export function DisputeState({ state }: Pick<DisputeAnswer, "state">) {
  return <Badge tone={TONES[state]} text={state} />;
}
