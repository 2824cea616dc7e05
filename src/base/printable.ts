/** Replaces control and invisible characters, so that a text from outside cannot steer the terminal. */
export const printable = (text: string): string => text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?')
