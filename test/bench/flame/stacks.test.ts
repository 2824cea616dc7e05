import { expect, test } from 'vitest'
import { foldSamples, parsePerfScript } from '../../../bench/flame/stacks.ts'

const sample = (thread: string, ...symbols: readonly string[]): string =>
  `${thread} \n${symbols.map((symbol) => `\t    7f5b4ff0221f ${symbol}\n`).join('')}\n`
const fold = (...samples: readonly string[]) => foldSamples(parsePerfScript(samples.join('')))

const readCsr = 'JS:*readCsr file:///home/x/ca/csr.ts:54:30'
const answer = "JS:+'answerAll file:///home/x/src/signing/signing-thread.ts:72:25"

test('reads samples of perf: the thread, and its functions', () => {
  expect(parsePerfScript(sample('MainThread 7', 'bn_mul', readCsr))).toEqual([
    { thread: 'MainThread 7', symbols: ['bn_mul', readCsr] },
  ])
  expect(parsePerfScript('')).toEqual([])
})

test('the same stacks are one, from the thread down', () => {
  const one = sample('MainThread 7', 'uv_run', readCsr, 'Builtins_JSEntry', answer, 'uv_run')
  expect(fold(one, one)).toEqual([
    {
      frames: [
        'main thread',
        'answerAll src/signing/signing-thread.ts',
        'readCsr ca/csr.ts',
        'Node and V8',
      ],
      samples: 2,
    },
  ])
})

test.for([
  ['bn_sqrx8x_internal', 'OpenSSL'],
  ['EVP_DigestSignFinal', 'OpenSSL'],
  ['sqlite3VdbeExec', 'SQLite'],
  ['v8::internal::Scavenger::Process', 'V8: garbage collection'],
  ['v8::internal::compiler::turboshaft::Pipeline::OptimizeTurboshaftGraph', 'V8: compiling'],
  ['do_syscall_64', 'kernel'],
  ['node::http_parser::Parser::Execute', 'Node and V8'],
] as const)('%s is part of %s', ([symbol, part]) => {
  expect(fold(sample('Other 1', 'memcpy', symbol, readCsr))[0]?.frames.at(-1)).toBe(part)
})

test('a function that was at work itself has nothing below it', () => {
  expect(fold(sample('Other 1', readCsr))[0]?.frames).toEqual(['Other 1', 'readCsr ca/csr.ts'])
})

test('functions of a package that call each other are one frame', () => {
  const of = (name: string, path: string): string =>
    `JS:^${name} file:///home/x/node_modules/${path}:1:2`
  const stack = sample('Other 1', of('a', '@scope/p/lib/a.js'), of('b', '@scope/p/b.js'), readCsr)
  expect(fold(stack)[0]?.frames).toEqual(['Other 1', 'readCsr ca/csr.ts', '@scope/p'])
})

test.for([
  ['JS:* file:///home/x/src/http/server.ts:5:1', '(anonymous) src/http/server.ts'],
  ['JS:~setHeader node:_http_outgoing:1:2', 'setHeader node:_http_outgoing'],
  ['JS:*Socket._write node:net:1273:35', 'Socket._write node:net'],
] as const)('%s is shown as %s', ([symbol, name]) => {
  expect(fold(sample('Other 1', symbol))[0]?.frames[1]).toBe(name)
})

test('threads have the name of what they do, also where a stack does not show it', () => {
  const sqlite = 'JS:*transact file:///home/x/src/store/sqlite/sqlite-worker.ts:57:1'
  const stacks = fold(
    sample('WorkerThread 2', 'bn_mul'),
    sample('WorkerThread 2', answer),
    sample('WorkerThread 3', 'bn_mul'),
    sample('WorkerThread 3', answer),
    sample('WorkerThread 4', sqlite),
    sample('V8Worker 5', 'memcpy'),
    sample('sh 6', 'memcpy'),
  )
  expect(stacks.map(({ frames: [thread], samples }) => [thread, samples])).toEqual([
    ['threads that sign', 2],
    ['threads that sign', 2],
    ['thread of SQLite', 1],
    ['threads of V8', 1],
    ['sh 6', 1],
  ])
})
