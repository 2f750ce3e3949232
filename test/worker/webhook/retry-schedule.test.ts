import { describe, expect, it, vi } from "vitest";
import { answers, type Reply } from "../receiver";
import {
  anEndpoint,
  aPayment,
  aShop,
  attempted,
  DAY_MS,
  eventText,
  HOUR,
  MINUTE,
  run,
  SECOND,
  stopClock,
  watch,
} from "./shop";

// Much of this waits for what the runtime does by itself, also on a busy machine.
vi.setConfig({ testTimeout: 20_000 });

watch();

describe("what has failed", () => {
  const RETRY_PAUSES_MS = [
    ...[5 * SECOND, 30 * SECOND, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE],
    ...[2, 5, 10, 14, 20, 24].map((hours) => hours * HOUR),
  ];

  it.each([
    ["at the earliest", 0, 1],
    ["at the latest", 1, 1.2],
  ])(
    "is sent again after 5 s, 30 s, 2, 5, 15 and 30 min, 2, 5, 10, 14, 20 and 24 hours, %s, and then given up",
    async (_, random, times) => {
      vi.spyOn(Math, "random").mockReturnValue(random);
      const shop = await aShop();
      const endpoint = await anEndpoint(shop);
      const { receiver } = endpoint;
      receiver.always(answers(500, "no"));
      stopClock();
      const id = await aPayment(shop);
      await run(endpoint);
      for (const [n, pause] of RETRY_PAUSES_MS.entries()) {
        const due = Date.now() + pause * times;
        expect(await endpoint.delivery()).toMatchObject({
          status: "pending",
          attempt_count: n + 1,
          next_attempt_at: new Date(due).toISOString(),
        });
        expect(await endpoint.alarm()).toBe(due);
        vi.setSystemTime(due - 1);
        await run(endpoint);
        expect(receiver.received).toHaveLength(n + 1);
        vi.setSystemTime(due);
        await run(endpoint);
        expect(receiver.received).toHaveLength(n + 2);
      }
      const { attempts, ...delivery } = await endpoint.delivery(`evt_${id}_1`, { whole: true });
      expect(delivery).toMatchObject({ status: "exhausted", attempt_count: 13, next_attempt_at: null });
      expect(attempts.map(({ http_status, answer }) => [http_status, answer])).toEqual(new Array(13).fill([500, "no"]));
      expect(await endpoint.alarm()).toBeNull();

      // The same message each time, signed anew.
      expect(receiver.ids).toEqual(new Array(13).fill(`evt_${id}_1`));
      expect(new Set(receiver.received.map(({ body }) => body)).size).toBe(1);
      expect(receiver.received.map(({ headers }) => Number(headers.get("webhook-timestamp")))).toEqual(
        attempts.map(({ at }) => Math.floor(Date.parse(at) / SECOND)),
      );
      vi.setSystemTime(Date.now() + 30 * DAY_MS);
      await run(endpoint);
      expect(receiver.received).toHaveLength(13);
    },
  );

  it("tells on a later attempt what it told on the first, whatever has happened since", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const { receiver } = endpoint;
    receiver.next(answers(500));
    const now = stopClock();
    const id = await aPayment(shop);
    await run(endpoint);
    await shop.unheard.run(id, "confirm");
    vi.setSystemTime(now + 6 * SECOND);
    await run(endpoint);
    const [first, second] = receiver.received;
    expect(second?.body).toBe(first?.body);
    expect(second?.body).toBe(await eventText(shop, `evt_${id}_1`));
  });

  it("is left alone for as long as its Retry-After asks, within a day", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0);
    const date = (from: number) => new Date(Date.now() + from).toUTCString();
    const asked: [retryAfter: () => string, pause: number][] = [
      [() => "3600", HOUR],
      [() => "6", 6 * SECOND],
      [() => "1", 5 * SECOND],
      [() => "0", 5 * SECOND],
      [() => "172800", DAY_MS],
      [() => date(HOUR), HOUR],
      [() => date(-HOUR), 5 * SECOND],
      [() => "soon", 5 * SECOND],
      [() => "-3600", 5 * SECOND],
      [() => "", 5 * SECOND],
    ];
    const made = await attempted(
      ...asked.map(
        ([retryAfter], n): Reply =>
          () => {
            return new Response("", { status: n % 2 ? 429 : 503, headers: { "Retry-After": retryAfter() } });
          },
      ),
    );
    expect(made.map(({ next_attempt_at: next }) => Date.parse(next ?? "") - Date.now())).toEqual(
      asked.map(([, pause]) => pause),
    );
  });
});
