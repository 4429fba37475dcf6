import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { type Running, startApp } from './live.ts'

let app: Running
beforeAll(async () => {
  app = await startApp(inject('databaseUrl'))
})
afterAll(() => app.stop())

test('a second request is answered from memory', async () => {
  expect((await app.get('/api/counties/51059')).cacheStatus).toBe('onramp; fwd=uri-miss; stored; detail=origin')
  expect((await app.get('/api/counties/51059')).cacheStatus).toMatch(/^onramp; hit; ttl=\d+; detail=memory$/)
})
