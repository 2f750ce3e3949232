/** The table of the positions of jobs, mirrored for TypeScript. */
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

export const jobPositions = sqliteTable("job_positions", {
  job: text().primaryKey(),
  position: text().notNull(),
  updated_at: integer().notNull(),
});
