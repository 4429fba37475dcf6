// Parser of EXPLAIN output: pure.
import { z } from 'zod'

/** A node of a plan, from EXPLAIN (VERBOSE, FORMAT JSON). */
const planNode = z.object({
  'Relation Name': z.string().optional(),
  Schema: z.string().optional(),
  Alias: z.string().optional(),
  'Index Cond': z.string().optional(),
  'Recheck Cond': z.string().optional(),
  Filter: z.string().optional(),
  get Plans() {
    return z.array(planNode).optional()
  },
})
export type PlanNode = z.output<typeof planNode>

const explanation = z.tuple([z.object({ 'QUERY PLAN': z.tuple([z.object({ Plan: planNode })]) })])

/** Every node of the plan in `rows`, the result of an EXPLAIN. */
export function planNodes(rows: unknown): PlanNode[] {
  const [{ 'QUERY PLAN': plans }] = explanation.parse(rows)
  return plans.flatMap(({ Plan }) => withChildren(Plan))
}

function withChildren(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(withChildren)]
}
