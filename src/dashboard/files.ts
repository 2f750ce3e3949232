/** The dashboard's stylesheet and script, of public/dashboard. */
import { answer } from "../http/answer";
import { problem } from "../http/problem";
import { newDashboardApp } from "./view";

export const files = newDashboardApp();

const PATH = "/dashboard/files/:file";

files.get(PATH, async (c) => {
  const { outer } = c.env;
  outer.set("route", "/dashboard/files/{file}");
  const file = c.req.param("file");
  if (!/^[\w-]+\.(css|js)$/.test(file)) return problem(outer, "route_not_found");
  const asset = await outer.env.ASSETS.fetch(new Request(new URL(`/dashboard/${file}`, c.req.url), outer.req.raw));
  if (asset.status === 404) return problem(outer, "route_not_found");
  const kept = ["Content-Type", "ETag"].flatMap((name) => {
    const value = asset.headers.get(name);
    return value === null ? [] : [[name, value] as const];
  });
  // It is asked for again each time, and is then a 304 until a deployment changes it.
  return answer(outer, asset.status, asset.body, { ...Object.fromEntries(kept), "Cache-Control": "no-cache" });
});
