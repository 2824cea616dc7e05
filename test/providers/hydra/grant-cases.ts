import type { Hydra } from '../../support/hydra.ts'
export function grantCases(_hydra: () => Hydra, _program: string): void {}
