import { describe, expect, it } from 'vitest'
import type { CustomerCommand, CustomerEvent } from '../schemas/customer.ts'
import { given } from '../test/support/given.ts'
import { customerDecider } from './customer.ts'

const at = '2026-11-21T09:30:00.000Z'
const [one, two] = ['0b9f3bb2-8e6e-4b0c-9d59-3a0a8f1d0001', '0b9f3bb2-8e6e-4b0c-9d59-3a0a8f1d0002']
const forget = (...keyIds: string[]): CustomerCommand => ({ type: 'ForgetPersonalData', at, customerId: 'c', keyIds })
const forgotten = (...keyIds: string[]): CustomerEvent => ({
  type: 'PersonalDataForgotten',
  data: { customerId: 'c', keyIds, forgottenAt: at },
})

describe('a customer', () => {
  it('is forgotten with the keys there are', () => {
    expect(given(customerDecider).when(forget(one))).toEqual([forgotten(one)])
  })
  it('is forgotten again only for the keys made since', () => {
    expect(given(customerDecider, forgotten(one)).when(forget(one))).toEqual([])
    expect(given(customerDecider, forgotten(one)).when(forget())).toEqual([])
    expect(given(customerDecider, forgotten(one)).when(forget(one, two))).toEqual([forgotten(two)])
  })
  it('cannot be forgotten when nothing was ever known', () => {
    expect(given(customerDecider).when(forget())).toBe('customer-not-found')
  })
})
