#!/usr/bin/env node
/**
 * Creates a signed download link, valid for a time that the operator sets. Node 24 runs this file directly.
 */
import { createHmac, randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

interface PluginCall {
  readonly action: string
  readonly cred_state: string
  readonly conf_params: {
    readonly base_url: string
    readonly key_file: string
    readonly revoked: string
    readonly hours: string
  }
  readonly params: { readonly path?: unknown }
  readonly user_info: {
    readonly iss: string
    readonly sub: string
    readonly groups?: readonly string[]
  }
}

/** A refusal whose message is for the user (`user_msg`) and for the log (`log_msg`). */
class Refusal extends Error {}

function parameter(): object {
  return {
    result: 'ok',
    version: '1.0',
    conf_params: [
      { name: 'base_url', type: 'string', default: 'https://download.example.org' },
      { name: 'key_file', type: 'string', default: '/etc/myservice/signing-key' },
      { name: 'revoked', type: 'string', default: '/var/lib/myservice/revoked' },
      { name: 'hours', type: 'string', default: '24' },
    ],
    request_params: [
      [
        {
          key: 'path',
          name: 'Path',
          description: 'path of the file, such as /data/run42.root',
          type: 'textarea',
          mandatory: true,
        },
      ],
    ],
    features: { stdin: true },
  }
}

function request({ conf_params: settings, params, user_info: person }: PluginCall): object {
  const { path } = params
  if (typeof path !== 'string' || !/^(\/[\w.-]+)+$/.test(path) || path.includes('/..'))
    throw new Refusal(
      'the path must begin with / and have letters, digits, ., _ and - between slashes',
    )
  const id = randomUUID()
  const url = new URL(path, settings.base_url)
  url.searchParams.set('id', id)
  url.searchParams.set('sub', `${person.sub}@${person.iss}`)
  url.searchParams.set(
    'until',
    new Date(Date.now() + Number(settings.hours) * 3_600_000).toISOString(),
  )
  const key = readFileSync(settings.key_file)
  url.searchParams.set('signature', createHmac('sha256', key).update(url.href).digest('base64url'))
  return {
    result: 'ok',
    credential: [
      { name: 'Link', type: 'textarea', value: url.href, rows: 4, cols: 80 },
      {
        name: 'Script',
        type: 'textfile',
        value: `#!/bin/sh\ncurl -fO '${url.href}'\n`,
        save_as: 'download.sh',
      },
    ],
    state: id,
  }
}

/** Creates a marker file, which the download server checks. */
function revoke({ conf_params: settings, cred_state: id }: PluginCall): object {
  if (!/^[0-9a-f-]{36}$/.test(id)) throw new Refusal('this link does not exist')
  mkdirSync(settings.revoked, { recursive: true })
  writeFileSync(join(settings.revoked, id), '')
  return { result: 'ok' }
}

async function answer(): Promise<object> {
  // `parameter` comes as an argument, everything else on standard input.
  const input = process.argv[2] ?? (await text(process.stdin))
  const call = JSON.parse(Buffer.from(input, 'base64url').toString()) as PluginCall
  const actions: Record<string, (call: PluginCall) => object> = { parameter, request, revoke }
  const act = actions[call.action]
  if (act === undefined) throw new Error('unknown action')
  return act(call)
}

try {
  process.stdout.write(`${JSON.stringify(await answer())}\n`)
} catch (error) {
  const { message } = error as Error
  const user_msg = error instanceof Refusal ? message : 'the service cannot be reached'
  process.stdout.write(`${JSON.stringify({ result: 'error', user_msg, log_msg: message })}\n`)
}
