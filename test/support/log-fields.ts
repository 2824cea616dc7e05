/** Finds the names of the fields that source code writes to the log. */
import { parseAst } from 'rolldown/parseAst'

/** A field of a log line. */
export interface LogField {
  readonly line: number
  readonly name: string
}

type Node = { readonly type: string; readonly start: number; readonly [key: string]: unknown }

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && 'type' in value && 'start' in value

/** A call of the log, or `child`, which sets fields of all lines of a child logger. */
const LOG_CALL = /\b(?:log|logger)(?:\(\))?\??\.(?:debug|info|warn|error|fatal|child)$/

/**
 * The fields of all log lines in a TypeScript source: those of objects given to a log call, and of constants named
 * `fields` that are given to one.
 */
export function logFieldsIn(source: string): readonly LogField[] {
  const found: LogField[] = []
  const logsFields = /\blog\??\.\w+\((?:\{ \.\.\.)?fields\b/.test(source)
  const add = (value: unknown): void => {
    for (const object of objectsOf(value))
      for (const property of object['properties'] as readonly Node[]) {
        const key = property['key']
        if (property.type === 'SpreadElement') add(property['argument'])
        else if (isNode(key) && key.type === 'Identifier')
          found.push({
            line: source.slice(0, key.start).split('\n').length,
            name: String(key['name']),
          })
      }
  }
  visit(parseAst(source, { lang: 'ts' }), (node) => {
    const { callee, id } = node
    if (node.type === 'CallExpression' && isNode(callee)) {
      const text = source.slice(callee.start, Number(callee['end']))
      if (LOG_CALL.test(text)) add((node['arguments'] as readonly unknown[])[0])
    }
    if (node.type === 'VariableDeclarator' && isNode(id) && id['name'] === 'fields' && logsFields)
      add(node['init'])
  })
  return found
}

/** The object literals that an expression can have as its value. */
function objectsOf(value: unknown): readonly Node[] {
  if (!isNode(value)) return []
  if (value.type === 'ObjectExpression') return [value]
  const parts = ['consequent', 'alternate', 'left', 'right', 'expression']
  return parts.flatMap((part) => objectsOf(value[part]))
}

function visit(value: unknown, look: (node: Node) => void): void {
  if (Array.isArray(value)) for (const item of value) visit(item, look)
  if (!isNode(value)) return
  look(value)
  for (const inner of Object.values(value)) visit(inner, look)
}
