/** What statistics look like from outside: schemas and parameters. */
import { z } from "@hono/zod-openapi";
import { single } from "../../http/fields";
import { readTime } from "../../http/times";
import { currencyCode } from "../../payment/routes/payment-schemas";
import { isProvider, PROVIDER_NAMES } from "../../provider/providers";
import { dayOf } from "../figures";
import type { CurrencyStatisticsResponse, FiguresResponse, StatisticsResponse } from "../response";

/** How many days one question may be about: a leap year. */
export const MAX_DAYS = 366;
/** How many days it is about where it does not say. */
export const DEFAULT_DAYS = 30;

export const DAY_MESSAGE = "Must be a date from 1970 on, such as 2026-01-16";
const PROVIDER_MESSAGE = `Must be one of ${PROVIDER_NAMES.join(", ")}`;

const DATE = /^\d{4}-\d{2}-\d{2}$/;

function dayParameter(name: string, description: string) {
  return single(DAY_MESSAGE)
    .transform((text, context) => {
      const time = DATE.test(text) ? readTime(text) : null;
      if (time !== null && time.floor >= 0) return dayOf(time.floor);
      context.addIssue({ code: "custom", message: DAY_MESSAGE });
      return z.NEVER;
    })
    .optional()
    .openapi({ param: { name, in: "query" }, type: "string", format: "date", description });
}

/** The days of a question: those that it leaves out end today. */
export function daysOf({ from, to }: { from?: number | undefined; to?: number | undefined }, now: number) {
  const last = to ?? Math.max(dayOf(now), from ?? 0);
  return { from: from ?? Math.max(0, last - DEFAULT_DAYS + 1), to: last };
}

export const StatisticsQuerySchema = z.strictObject({
  from: dayParameter("from", `The first day, in UTC; without it, ${DEFAULT_DAYS} days end with \`to\``),
  to: dayParameter("to", `The last day, in UTC; today without it. At most ${MAX_DAYS} days in all`),
  currency: currencyCode(single("Must be a string"))
    .optional()
    .openapi({ param: { name: "currency", in: "query" } }),
  provider: single(PROVIDER_MESSAGE)
    .refine(isProvider, { error: PROVIDER_MESSAGE })
    .optional()
    .openapi({
      param: { name: "provider", in: "query" },
      type: "string",
      enum: [...PROVIDER_NAMES],
      description: "Payments that this provider moves",
    }),
});

const EXAMPLE_FIGURES: FiguresResponse = {
  created: { count: 120, amount: 11998.8 },
  confirmed: { count: 108, amount: 10798.92 },
  failed: 6,
  cancelled: 2,
  expired: 1,
  refunds: { count: 4, amount: 250 },
  refunds_reversed: { count: 1, amount: 50 },
  success_rate: 108 / 114,
  time_to_confirm: { average_ms: 48210, median_ms: 20479, p95_ms: 163839 },
};

const Count = z.int().min(0);
const Counted = z
  .object({
    count: z.int().openapi({ description: "How many" }),
    amount: z.number().openapi({ description: "Together, in major units of the currency" }),
  })
  .openapi("CountedAmount", { description: "How many, and how much together" });

const TimeToConfirm = z
  .object({
    average_ms: Count.openapi({ description: "In milliseconds, exact" }),
    median_ms: Count.openapi({ description: "Half took no longer, in milliseconds; at most a fifth too high" }),
    p95_ms: Count.openapi({ description: "95 % took no longer, in milliseconds; at most a fifth too high" }),
  })
  .openapi("TimeToConfirm", {
    description: "How long confirmed payments took from their creation on; null where there are none",
  });

const FiguresSchema = z
  .object({
    created: Counted,
    confirmed: Counted,
    failed: Count.openapi({ description: "Payments that have failed or were declined" }),
    cancelled: Count.openapi({ description: "Payments that were cancelled" }),
    expired: Count.openapi({ description: "Payments that nobody completed in time" }),
    refunds: Counted,
    refunds_reversed: Counted,
    success_rate: z.number().min(0).max(1).nullable().openapi({
      description: "Confirmed payments, of those that were confirmed or have failed; null where there are none",
    }),
    // As `nullable()` they would be several types in generated clients.
    time_to_confirm: z.union([TimeToConfirm, z.null()]),
  })
  .openapi("StatisticsFigures", {
    description:
      "What happened in some days to the payments of a currency: payments `created`, `confirmed` with what was captured of them, and " +
      "so on, each on the day of its event. `refunds` is what was given back; a refund that had succeeded and failed later is taken off it on " +
      "the day on which it failed, and is in `refunds_reversed`: so `refunds` of a single day may be negative",
    example: EXAMPLE_FIGURES,
  }) satisfies z.ZodType<FiguresResponse>;

const CurrencyStatisticsSchema = z
  .object({
    currency: z.string().openapi({ description: "The currency of all amounts here" }),
    figures: FiguresSchema,
    days: z
      .array(
        z
          .object({
            day: z.iso.date().openapi({ description: "The day, in UTC" }),
            figures: FiguresSchema,
          })
          .openapi("DayStatistics", { description: "The figures of a day" }),
      )
      .openapi({ description: "By day, oldest first; a day on which nothing happened is left out" }),
    providers: z
      .array(
        z
          .object({
            provider: z.string().openapi({ description: "What moves the money" }),
            figures: FiguresSchema,
          })
          .openapi("ProviderStatistics", { description: "The figures of a provider" }),
      )
      .openapi({ description: "By provider" }),
  })
  .openapi("CurrencyStatistics", {
    description: "The figures of a currency: of all days together, by day and by provider",
  }) satisfies z.ZodType<CurrencyStatisticsResponse>;

const LastEvent = z
  .object({
    position: z.int().min(1).openapi({ description: "Its place in the merchant's feed" }),
    timestamp: z.iso.datetime().openapi({ description: "When it happened; RFC 3339, in UTC" }),
  })
  .openapi("LastCountedEvent", { description: "The last event that is counted; null before the first" });

export const StatisticsSchema = z
  .object({
    from: z.iso.date().openapi({ description: "The first day that is meant, in UTC" }),
    to: z.iso.date().openapi({ description: "The last day that is meant, in UTC" }),
    is_complete: z.boolean().openapi({
      description:
        "Whether every event is counted; while it is false, ask again at once: each request counts the next ones",
    }),
    as_of: z.union([LastEvent, z.null()]),
    failing_webhook_endpoints: z.int().min(0).nullable().openapi({
      description:
        "How many of the webhook endpoints that are enabled have failed since their last success; null for a key without the scope `webhooks:manage`",
    }),
    data: z.array(CurrencyStatisticsSchema).openapi({ description: "By currency" }),
  })
  .openapi("Statistics", {
    description: "What happened to payments in some days, and up to which event that is counted",
    example: {
      from: "2026-01-01",
      to: "2026-01-30",
      is_complete: true,
      as_of: { position: 4711, timestamp: "2026-01-30T16:58:02.107Z" },
      failing_webhook_endpoints: 0,
      data: [
        {
          currency: "USD",
          figures: EXAMPLE_FIGURES,
          days: [{ day: "2026-01-16", figures: EXAMPLE_FIGURES }],
          providers: [{ provider: "internal", figures: EXAMPLE_FIGURES }],
        },
      ],
    },
  }) satisfies z.ZodType<StatisticsResponse>;
