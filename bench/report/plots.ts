// Results as SVG: bars with whiskers, and curves where rows are points of a series.

import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import { ratio, summarise } from "../statistics.ts";
import type { Row, SuiteResult } from "../suite.ts";

/** A picture and the name of its file. */
export interface Plot {
  readonly file: string;
  readonly title: string;
  readonly svg: string;
}

const config = {
  background: "white",
  font: "sans-serif",
  axis: { labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" },
} as const;

async function draw(spec: TopLevelSpec): Promise<string> {
  const view = new View(parse(compile(spec).spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/** Every variant of every row as a multiple of the row's first variant: more is better. */
async function bars(title: string, rows: readonly Row[]): Promise<string> {
  const values = rows.flatMap(({ name, better, variants: [base, ...others] }) =>
    others.map((variant) => {
      const [above, below] =
        better === "higher" ? [variant.samples, base!.samples] : [base!.samples, variant.samples];
      const { median, low, high } = ratio(above, below);
      return { row: name, variant: variant.name, median, low, high };
    }),
  );
  const y = { field: "row", type: "nominal", title: null, sort: null } as const;
  const yOffset = { field: "variant", sort: null } as const;
  return draw({
    title: `${title}: multiples of ${rows[0]!.variants[0]!.name} (more is better)`,
    width: 520,
    data: { values },
    config,
    encoding: { y, yOffset },
    layer: [
      {
        mark: { type: "bar" },
        encoding: {
          x: { field: "median", type: "quantitative", title: null },
          color: { field: "variant", type: "nominal", title: null, sort: null, legend: { orient: "bottom" } },
        },
      },
      {
        mark: { type: "rule", strokeWidth: 1.5 },
        encoding: { x: { field: "low", type: "quantitative" }, x2: { field: "high" } },
      },
      {
        mark: { type: "rule", strokeDash: [4, 3], color: "black" },
        encoding: { x: { datum: 1 }, y: { value: 0 }, y2: { value: "height" } },
      },
    ],
  } as TopLevelSpec);
}

/** One curve a variant, with the quartiles around it. */
async function curves(title: string, rows: readonly Row[]): Promise<string> {
  const values = rows.flatMap(({ series, variants }) =>
    variants.map(({ name, samples }) => ({ at: series!.at, variant: name, ...summarise(samples) })),
  );
  const points = rows.map(({ series }) => series!.at);
  const wide = Math.min(...points) > 0 && Math.max(...points) / Math.min(...points) > 100;
  const { series, unit } = rows[0]!;
  const x = {
    field: "at",
    type: "quantitative",
    title: series!.axis,
    scale: { type: wide ? "log" : "linear" },
    axis: { values: [...new Set(points)] },
  } as const;
  const color = { field: "variant", type: "nominal", title: null, sort: null } as const;
  return draw({
    title,
    width: 520,
    height: 300,
    data: { values },
    config,
    encoding: { x, color: { ...color, legend: { orient: "bottom" } } },
    layer: [
      {
        mark: { type: "area", opacity: 0.15 },
        encoding: { y: { field: "low", type: "quantitative", title: unit }, y2: { field: "high" } },
      },
      {
        mark: { type: "line", point: true },
        encoding: { y: { field: "median", type: "quantitative", title: unit } },
      },
    ],
  } as TopLevelSpec);
}

function groups(rows: readonly Row[], key: (row: Row) => string): readonly (readonly Row[])[] {
  return [...Map.groupBy(rows, key).values()];
}

const slug = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");

/** The pictures of one suite; a row with one variant alone and no series has none. */
export async function plotsOf(
  suite: { readonly name: string; readonly title: string },
  { rows }: SuiteResult,
): Promise<readonly Plot[]> {
  const compared = rows.filter(({ series, variants }) => series === undefined && variants.length > 1);
  const plots: Plot[] = [];
  for (const [index, group] of groups(compared, ({ variants }) =>
    variants.map(({ name }) => name).join("|"),
  ).entries()) {
    plots.push({
      file: `${suite.name}${index === 0 ? "" : `-${index + 1}`}.svg`,
      title: suite.title,
      svg: await bars(suite.title, group),
    });
  }
  const inSeries = rows.filter(({ series }) => series !== undefined);
  for (const group of groups(inSeries, ({ series }) => series!.name)) {
    const title = group[0]!.series!.name;
    plots.push({ file: `${suite.name}-${slug(title)}.svg`, title, svg: await curves(title, group) });
  }
  return plots;
}
