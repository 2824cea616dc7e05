import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { startListening } from '../../../src/certcache/server/listening.ts'
import { listenSettings } from '../../../src/certcache/settings/listen-settings.ts'
import { MAX_OPEN_REQUESTS } from '../../../src/http/message-classes.ts'
import { createLog } from '../../../src/base/log.ts'

const log = createLog({ level: 'error', name: 'test', destination: { write: () => undefined } })

test.for([
  { name: 'requests', text: 'GET / HTTP/1.1\r\nHost: a\r\n\r\n' },
  {
    name: 'requests with Expect',
    text: 'GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n',
  },
])('thousands of $name that wait: the connection ends', async ({ text }) => {
  let asked = 0
  const listening = await startListening(() => (asked += 1), {
    listen: listenSettings.parse({ port: 0 }),
    clientCaFile: undefined,
    log,
  })
  onTestFinished(() => listening.close(100))
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(listening.url).port) })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write(text.repeat(5000))
  await new Promise((resolve) => socket.once('close', resolve))
  expect(asked).toBe(MAX_OPEN_REQUESTS)
})
