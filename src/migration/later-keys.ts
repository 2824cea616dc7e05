/** Keys that the import writes and that this version does not know yet: held back, one line each. */
import { isTree, type Tree } from '../config/settings-tree.ts'

/** A line that goes when its key is there. `*` stands for any id; `value`: only with this value. */
interface LaterKey {
  readonly path: string
  readonly value?: string
  /** Held back as a whole with the mapping that it stands in. */
  readonly withParent?: boolean
}

export const laterKeys: readonly LaterKey[] = [{ path: 'relying_services' }]

/** A configuration parted into what this version loads and what it does not know yet. */
export interface Parted {
  readonly now: Tree
  readonly later: Tree
  /** Paths of what is in `later`. */
  readonly heldBack: readonly string[]
}

/** Parts a configuration. */
export function partLater(tree: Tree, keys: readonly LaterKey[] = laterKeys): Parted {
  const now = structuredClone(tree)
  const later: Tree = {}
  const heldBack: string[] = []
  for (const { path, value, withParent = false } of keys) {
    const words = path.split('.')
    for (const place of placesOf(now, words)) {
      if (value !== undefined && valueAt(now, place) !== value) continue
      const moved = withParent ? place.slice(0, -1) : place
      move(now, later, moved)
      heldBack.push(moved.join('.'))
    }
  }
  return { now, later, heldBack }
}

/** Every path in the tree that fits the pattern. */
function placesOf(tree: Tree, words: readonly string[]): string[][] {
  return words.reduce<string[][]>(
    (places, word) =>
      places.flatMap((place) => {
        const at = valueAt(tree, place)
        if (!isTree(at)) return []
        const names = word === '*' ? Object.keys(at) : Object.hasOwn(at, word) ? [word] : []
        return names.map((name) => [...place, name])
      }),
    [[]],
  )
}

function valueAt(tree: Tree, place: readonly string[]): unknown {
  return place.reduce<unknown>(
    (at, word) => (isTree(at) && Object.hasOwn(at, word) ? at[word] : undefined),
    tree,
  )
}

function move(from: Tree, to: Tree, place: readonly string[]): void {
  const parents = place.slice(0, -1)
  const last = place.at(-1) ?? ''
  const source = valueAt(from, parents)
  if (!isTree(source)) return
  let target = to
  for (const word of parents) {
    const next = Object.hasOwn(target, word) ? target[word] : undefined
    const child: Tree = isTree(next) ? next : {}
    define(target, word, child)
    target = child
  }
  define(target, last, source[last])
  delete source[last]
}

/** Also for names such as `__proto__`. */
function define(tree: Tree, key: string, value: unknown): void {
  Object.defineProperty(tree, key, { value, enumerable: true, configurable: true, writable: true })
}
