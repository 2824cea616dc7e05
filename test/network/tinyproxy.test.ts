/** A real HTTP proxy, tinyproxy, before a TLS server of a private CA: tunnels, passwords and refusals. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { urlToHttpOptions } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sendHttp } from '../../src/client/http-request.ts'
import { readHttpProxy } from '../../src/network/http-proxy.ts'
import { applyNetwork, findProxyFailure } from '../../src/network/network.ts'
import { freePort } from '../support/free-port.ts'
import { describeWithTools, findProgram } from '../support/grid-tools.ts'
import { makePrivateCa } from '../support/private-ca.ts'

/** An address of this machine that is not always direct. */
const HOST = '127.0.0.2'

const ways = {
  fetch: async (url: string) => fetch(url).then(({ status }) => status),
  sendHttp: async (url: string) =>
    sendHttp({ ...urlToHttpOptions(new URL(url)), secure: true }).then(({ status }) => status),
}

describeWithTools('tinyproxy', ['tinyproxy-bin'], () => {
  let directory = ''
  let proxy: ChildProcess
  let proxyPort = 0
  let caFile = ''
  const servers: Server[] = []
  const ports: number[] = []
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'tts-tinyproxy-'))
    const ca = makePrivateCa(directory)
    caFile = ca.file
    const { key, cert } = ca.issue(HOST)
    for (let made = 0; made < 2; made += 1) {
      const server = createServer({ key, cert }, (_request, response) => response.end('ok'))
      await once(server.listen(0, HOST), 'listening')
      servers.push(server)
      ports.push((server.address() as AddressInfo).port)
    }
    proxyPort = await freePort()
    const lines = [`Port ${proxyPort}`, 'Listen 127.0.0.1', 'Allow 127.0.0.1', 'Timeout 60']
    lines.push('BasicAuth worker s3cret', `ConnectPort ${ports[0]}`, 'MaxClients 20')
    writeFileSync(join(directory, 'tinyproxy.conf'), `${lines.join('\n')}\n`)
    const words = ['-d', '-c', join(directory, 'tinyproxy.conf')]
    proxy = spawn(findProgram('tinyproxy') ?? '', words, { stdio: 'ignore' })
    await untilListening(proxyPort)
  })
  afterAll(async () => {
    applyNetwork({ proxy: undefined, authorities: [] }, () => undefined)
    proxy.kill('SIGKILL')
    for (const server of servers) {
      server.closeAllConnections()
      server.close()
    }
    rmSync(directory, { recursive: true, force: true })
  })

  function useProxy(credentials: string): void {
    const { proxy: read } = readHttpProxy({
      HTTPS_PROXY: `http://${credentials}127.0.0.1:${proxyPort}`,
    })
    const setting = 'tls.ca_file'
    applyNetwork(
      { proxy: read, authorities: [{ kind: 'file', path: caFile, setting, required: true }] },
      () => undefined,
    )
  }
  const allowed = (): string => `https://${HOST}:${ports[0]}/`

  test.for(Object.entries(ways))('%s reaches a server through it', async ([, send]) => {
    useProxy('worker:s3cret@')
    expect(await send(allowed())).toBe(200)
  })

  const refusals: readonly (readonly [string, string, () => string, string])[] = [
    ['without password', '', allowed, 'HTTP 407'],
    ['with a wrong password', 'worker:wrong@', allowed, 'HTTP 401'],
    [
      'to a port that it forbids',
      'worker:s3cret@',
      () => `https://${HOST}:${ports[1]}/`,
      'HTTP 403',
    ],
  ]
  test.for(
    Object.entries(ways).flatMap(([way, send]) =>
      refusals.map(([title, credentials, url, status]) => ({
        title: `${way} ${title}`,
        send,
        credentials,
        url,
        status,
      })),
    ),
  )('$title', async ({ send, credentials, url, status }) => {
    useProxy(credentials)
    const error: unknown = await send(url()).catch((cause: unknown) => cause)
    const { host } = new URL(url())
    expect(findProxyFailure(url(), error)).toEqual({
      reason: `the proxy 127.0.0.1:${proxyPort} does not connect to ${host} (${status})`,
      remedy:
        status === 'HTTP 403'
          ? `Allow ${host} in the proxy, or add ${HOST} to NO_PROXY to connect without it.`
          : 'Put the right user and password of the proxy into HTTPS_PROXY (docs/network.md).',
    })
  })
})

async function untilListening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt += 1) {
    const socket = connect(port, '127.0.0.1')
    const isOpen = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (isOpen) return
    await sleep(25)
  }
  throw new Error('tinyproxy does not listen')
}
