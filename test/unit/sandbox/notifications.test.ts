/** When the sandbox sends a notification, and sends it again. */
import { expect, it } from "vitest";
import { backoffMs, sendingTimes } from "../../../src/sandbox/notifications";
import type { Notification } from "../../../src/sandbox/store";
import { HOUR, MINUTE, SECOND } from "./account";

const NOW = Date.UTC(2026, 10, 25);

it.each<[Parameters<typeof sendingTimes>[0], boolean, number[]]>([
  [undefined, false, [0]],
  [undefined, true, [0]],
  ["before_answer", false, [0]],
  ["bad_signature", true, [0]],
  ["twice", false, [0, SECOND]],
  ["twice", true, [0, SECOND]],
  ["never", true, []],
  // What says that the payment is processing, six seconds late; what says that it is captured, at once, three seconds after it began.
  ["reordered", true, [6 * SECOND]],
  ["reordered", false, [0]],
])(
  "a payment that notifies %s, while it is processing (%s), is told of after %j ms",
  (notifies, isProcessing, after) => {
    expect(sendingTimes(notifies, isProcessing, NOW).map((at) => at - NOW)).toEqual(after);
  },
);

const notification = (first: number, attempts: number): Notification => ({
  ...{ body: "{}", is_signed_wrongly: false, first, attempts },
});

it("a notification that is not taken comes again after 5 s, 30 s, 2 min, 10 min, 1 h, and then every 6 h", () => {
  const pauses = [0, 1, 2, 3, 4, 5, 6, 11].map((attempts) => backoffMs(notification(NOW, attempts), NOW));
  expect(pauses).toEqual([
    ...[5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, HOUR],
    ...[6 * HOUR, 6 * HOUR, 6 * HOUR],
  ]);
});

it("a notification is given up when its next time would be more than 72 hours after its first", () => {
  const at = (first: number) => backoffMs(notification(first, 9), NOW);
  expect(at(NOW - 66 * HOUR)).toBe(6 * HOUR);
  expect(at(NOW - 66 * HOUR - 1)).toBeNull();
});
