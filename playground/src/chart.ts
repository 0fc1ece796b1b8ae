// Shares over time.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { labels } from "./labels";

/** A line of a chart. */
export interface Line {
  label: string;
  /** From 0 to 1. */
  shares: number[];
}

interface Options {
  /** How positions are written. */
  x: (value: number) => string;
  /** Whether the positions are times of day, in seconds since 1970. */
  isTime: boolean;
  /** A part that is shaded. */
  shaded?: [number, number];
  /** The position of a line that is dragged, and what to do when it is. */
  handle?: { at: () => number; drag: (to: number) => void };
}

/** The colour of a style property. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The colours of lines: as many as can be told apart. */
export const COLOURS = ["--line-0", "--line-1", "--line-2", "--line-3", "--line-4", "--line-5"];

/** A chart that is drawn anew with each call of `show`. */
export class Chart {
  #plot: uPlot | undefined;
  #shown: [number[], Line[], Options] | undefined;
  readonly #parent: HTMLElement;

  constructor(parent: HTMLElement) {
    this.#parent = parent;
    new ResizeObserver(() => {
      if (this.#plot && parent.clientWidth > 0 && parent.clientWidth !== this.#plot.width) this.#plot.setSize(this.#size());
    }).observe(parent);
    addEventListener("themechange", () => this.#shown && this.show(...this.#shown));
  }

  /** Draws only the handle again. */
  redraw(): void {
    this.#plot?.redraw(false);
  }

  show(x: number[], lines: Line[], options: Options): void {
    this.#shown = [x, lines, options];
    this.#plot?.destroy();
    const stepped = uPlot.paths.stepped?.({ align: 1 });
    const axis = { stroke: colour("--text"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { stroke: colour("--rule") } };
    const plot = new uPlot(
      {
        ...this.#size(),
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        scales: { x: { time: options.isTime }, y: { range: [0, 1.02] } },
        axes: [
          { ...axis, space: 90, values: (_, ticks) => ticks.map(options.x) },
          { ...axis, size: 56, values: (_, ticks) => ticks.map((share) => `${Math.round(share * 100)} %`) },
        ],
        series: [
          { label: labels.chart.time, value: (_, at) => (at === null ? "–" : options.x(at)) },
          ...lines.map(({ label }, i) => ({
            label,
            stroke: colour(COLOURS[i % COLOURS.length] ?? "--text"),
            width: 2,
            points: { show: false },
            ...(i % 2 === 1 && { dash: [8, 4] }),
            ...(stepped && { paths: stepped }),
            value: (_: uPlot, share: number | null) => (share === null ? "–" : `${Math.round(share * 10_000) / 100} %`),
          })),
        ],
        cursor: { drag: { x: false, y: false } },
        hooks: { draw: [(plot) => this.#decorate(plot, options)] },
      },
      [x, ...lines.map(({ shares }) => shares)],
      this.#parent,
    );
    const { handle } = options;
    if (handle) {
      const move = (event: PointerEvent) => {
        const x = event.clientX - plot.over.getBoundingClientRect().left;
        handle.drag(plot.posToVal(Math.min(Math.max(x, 0), plot.over.clientWidth), "x"));
      };
      plot.over.addEventListener("pointerdown", (event) => {
        plot.over.setPointerCapture(event.pointerId);
        move(event);
      });
      plot.over.addEventListener("pointermove", (event) => {
        if (plot.over.hasPointerCapture(event.pointerId)) move(event);
      });
      plot.over.style.cursor = "ew-resize";
      plot.over.style.touchAction = "pan-y";
    }
    this.#plot = plot;
  }

  #size() {
    return { width: Math.max(this.#parent.clientWidth, 240), height: 220 };
  }

  #decorate(plot: uPlot, { shaded, handle }: Options): void {
    const { ctx, bbox } = plot;
    ctx.save();
    if (shaded) {
      const [from, to] = shaded.map((at) => plot.valToPos(at, "x", true)) as [number, number];
      ctx.fillStyle = colour("--shade");
      ctx.fillRect(from, bbox.top, to - from, bbox.height);
    }
    if (handle) {
      const x = plot.valToPos(handle.at(), "x", true);
      if (x >= bbox.left && x <= bbox.left + bbox.width) {
        ctx.strokeStyle = ctx.fillStyle = colour("--accent");
        ctx.lineWidth = 2 * devicePixelRatio;
        ctx.setLineDash([]);
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        ctx.beginPath();
        ctx.arc(x, bbox.top + 8 * devicePixelRatio, 6 * devicePixelRatio, 0, 7);
        ctx.fill();
      }
    }
    ctx.restore();
  }
}
