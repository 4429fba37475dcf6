/** Converts SQL with the :name parameters of plan-search for pg, which numbers them. */
export function bindings(sql: string): { text: string; values: (query: Record<string, string>) => unknown[] } {
  const names: string[] = []
  const text = sql.replace(/--.*/g, '').replace(/(?<!:):([a-z]+)/g, (_all, name: string) => {
    if (!names.includes(name)) names.push(name)
    return `$${names.indexOf(name) + 1}`
  })
  const presets: Record<string, unknown> = { metal: null, sort: 'premium', limit: 10, offset: 0, year: 2014 }
  return {
    text,
    values: (query) =>
      names.map((name) => {
        if (name === 'ages') return (query.ages ?? '').split(',').map(Number)
        return query[name] ?? presets[name]
      }),
  }
}
