import { table } from '../../bench/markdown.ts'
import { events, logFields } from '../../proxy/ops/events.ts'

/** Every event of the log: name, level, sentence, next step. */
export function eventsTable(): string {
  const rows = Object.entries(events).map(([name, event]) => {
    const action = 'action' in event ? event.action : ''
    return [`\`${name}\``, event.level, event.sentence, action]
  })
  return table(['`event`', 'level', '`msg`', '`action`'], rows)
}

/** Every field of the log and its meaning. */
export function logFieldsTable(): string {
  return table(
    ['field', 'meaning'],
    Object.entries(logFields).map(([name, meaning]) => [`\`${name}\``, meaning]),
  )
}
