/** Times and other facts in words, for pages. */
import { html, type Html } from '../html/html.ts'

const units = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
] as const

/** A length of time by its two largest units: `2 days 3 hours`. */
export function durationInWords(seconds: number): string {
  const parts = units.flatMap(([name, size], index) => {
    const before = units[index - 1]?.[1]
    const within = before === undefined ? seconds : seconds % before
    const count = Math.floor(within / size)
    return count === 0 ? [] : [`${count} ${name}${count === 1 ? '' : 's'}`]
  })
  return parts.length === 0 ? 'less than a minute' : parts.slice(0, 2).join(' ')
}

/** What is left until a moment. */
export function timeLeftInWords(end: Date, now: Date): string {
  const seconds = Math.floor((end.getTime() - now.getTime()) / 1000)
  return seconds > 0 ? `${durationInWords(seconds)} left` : 'ended'
}

/** A moment, in UTC. */
export function instant(at: Date): Html {
  const iso = at.toISOString()
  return html`<time datetime="${iso}">${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC</time>`
}

/** Whom to ask: a link where the operator gave an address, else the operator's words. */
export function contactLink(contact: string): Html {
  const href = /^[\w.+-]+@[\w-]+(\.[\w-]+)+$/.test(contact)
    ? `mailto:${contact}`
    : /^https:\/\/[\w.~:/?#&=%+-]+$/.test(contact)
      ? contact
      : undefined
  const name = html`<bdi>${contact}</bdi>`
  return href === undefined ? name : html`<a href="${href}">${name}</a>`
}

/** A message as a sentence of its own. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`
}
