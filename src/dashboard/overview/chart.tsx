/** Charts of days, as SVG made here. Without a style or a script of their own, so that they are whole under a strict policy. */
import { nice, ticks } from "d3-array";

/** A day's value. */
interface Point {
  /** A date in UTC. */
  readonly day: string;
  readonly value: number;
}

/** One thing that a chart shows, each with its own look. */
export interface Series {
  readonly name: string;
  readonly look: "main" | "second";
  readonly points: readonly Point[];
}

interface ChartProps {
  /** Names it, and its elements: unique in a page. */
  readonly id: string;
  readonly title: string;
  readonly kind: "bars" | "lines";
  /** All over the same days, oldest first; one at least. */
  readonly series: readonly Series[];
  /** A value as the axis and the titles have it. */
  readonly format: (value: number) => string;
  /** A day as the axis and the titles have it. */
  readonly formatDay: (day: string) => string;
}

/** The drawing's own units; it is scaled to the width that there is. */
const [WIDTH, HEIGHT] = [640, 220];
const MARGIN = { top: 12, right: 8, bottom: 24, left: 64 };
const INNER_WIDTH = WIDTH - MARGIN.left - MARGIN.right;
const INNER_HEIGHT = HEIGHT - MARGIN.top - MARGIN.bottom;
const TICKS = 4;
/** Days that are named below the axis, at most. */
const MAX_DAY_LABELS = 6;
/** What of a day's width its bars take. */
const BAR_SHARE = 0.7;

/** A chart, with its legend where it shows more than one thing. */
export function Chart({ id, title, kind, series, format, formatDay }: ChartProps) {
  const values = series.flatMap(({ points }) => points.map(({ value }) => value));
  const [low, high] = nice(Math.min(0, ...values), Math.max(1, ...values), TICKS);
  const y = (value: number) => MARGIN.top + INNER_HEIGHT * (1 - (value - low) / (high - low));
  const days = series[0]?.points.map(({ day }) => day) ?? [];
  const dayWidth = INNER_WIDTH / Math.max(1, days.length);
  const x = (n: number) => MARGIN.left + dayWidth * (n + 0.5);
  const every = Math.ceil(days.length / MAX_DAY_LABELS);
  return (
    <figure class="chart" aria-labelledby={`${id}-title`}>
      <figcaption id={`${id}-title`}>
        {title}
        {series.length > 1 && (
          <span class="legend">
            {series.map(({ name, look }) => (
              <span class={look}>{name}</span>
            ))}
          </span>
        )}
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`${title}: the table below has its figures`}>
        {ticks(low, high, TICKS).map((tick) => (
          <g class="axis">
            <line x1={MARGIN.left} x2={WIDTH - MARGIN.right} y1={y(tick)} y2={y(tick)} />
            <text x={MARGIN.left - 8} y={y(tick) + 4} text-anchor="end">
              {format(tick)}
            </text>
          </g>
        ))}
        {days.map((day, n) =>
          (days.length - 1 - n) % every === 0 ? (
            <text class="axis" x={x(n)} y={HEIGHT - 6} text-anchor="middle">
              {formatDay(day)}
            </text>
          ) : null,
        )}
        {series.map((shown, place) =>
          kind === "bars" ? (
            <Bars shown={shown} place={place} of={series.length} {...{ x, y, dayWidth, format, formatDay }} />
          ) : (
            <Line shown={shown} {...{ x, y, format, formatDay }} />
          ),
        )}
      </svg>
    </figure>
  );
}

interface Drawn {
  readonly shown: Series;
  readonly x: (n: number) => number;
  readonly y: (value: number) => number;
  readonly format: (value: number) => string;
  readonly formatDay: (day: string) => string;
}

function Bars(props: Drawn & { readonly place: number; readonly of: number; readonly dayWidth: number }) {
  const { shown, place, of, x, y, dayWidth, format, formatDay } = props;
  const width = (dayWidth * BAR_SHARE) / of;
  return (
    <g class={shown.look}>
      {shown.points.map(({ day, value }, n) => (
        <rect
          x={x(n) - (dayWidth * BAR_SHARE) / 2 + place * width}
          y={Math.min(y(value), y(0))}
          width={Math.max(1, width - 1)}
          height={Math.abs(y(0) - y(value))}
          rx="1.5"
        >
          <title>{`${formatDay(day)}: ${shown.name} ${format(value)}`}</title>
        </rect>
      ))}
    </g>
  );
}

function Line({ shown, x, y, format, formatDay }: Drawn) {
  const { points, look, name } = shown;
  const top = points.map(({ value }, n) => `${x(n)},${y(value)}`).join(" ");
  return (
    <g class={look}>
      {look === "main" && <polygon class="ground" points={`${x(0)},${y(0)} ${top} ${x(points.length - 1)},${y(0)}`} />}
      <polyline class="line" points={top} />
      {points.map(({ day, value }, n) => (
        <circle cx={x(n)} cy={y(value)} r="2.5">
          <title>{`${formatDay(day)}: ${name} ${format(value)}`}</title>
        </circle>
      ))}
    </g>
  );
}
