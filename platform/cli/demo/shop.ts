import type { Static } from 'typebox'
import type { RegisterProductRequest } from '../../../schemas/requests.ts'

/** One article of the demo's shop and how many units a run brings in: few means that it will sell out. */
export interface Article {
  readonly product: Static<typeof RegisterProductRequest>
  /** Units received per hundred orders of the run. */
  readonly stockPerHundredOrders: number
  /** How often shoppers pick it, relative to the others. */
  readonly appeal: number
}

const article = (
  sku: string,
  name: string,
  brand: string,
  category: string,
  amount: number,
  stockPerHundredOrders: number,
  appeal: number,
  description: string,
): Article => ({
  product: { sku, name, brand, category, description, price: { amount, currency: 'EUR' } },
  stockPerHundredOrders,
  appeal,
})

/** A small electronics and coffee shop. The console and the grinder are scarce on purpose. */
export const articles: readonly Article[] = [
  article('PHONE-15-PRO', 'Apple iPhone 15 Pro', 'Apple', 'phones', 119_900, 80, 8, '6.1 inch titanium phone, 256 GB.'),
  article('PHONE-S24', 'Samsung Galaxy S24', 'Samsung', 'phones', 84_900, 80, 6, '6.2 inch phone, 128 GB.'),
  article(
    'CASE-15-PRO',
    'Silicone Case for iPhone 15 Pro',
    'Apple',
    'phone cases',
    5_900,
    150,
    7,
    'Soft case with a magnet ring.',
  ),
  article(
    'CHARGER-20W',
    '20W USB-C Charger for iPhone 15 Pro',
    'Apple',
    'chargers',
    2_500,
    150,
    7,
    'Compact wall charger.',
  ),
  article('LAPTOP-AIR-13', 'MacBook Air 13', 'Apple', 'laptops', 129_900, 40, 4, '13 inch laptop, 16 GB memory.'),
  article(
    'LAPTOP-SLEEVE',
    'Felt Sleeve for MacBook Air 13',
    'Native Union',
    'laptop bags',
    4_900,
    80,
    3,
    'Wool felt sleeve.',
  ),
  article(
    'HEADPHONES-XM5',
    'Sony WH-1000XM5',
    'Sony',
    'headphones',
    34_900,
    60,
    5,
    'Wireless noise cancelling headphones.',
  ),
  article('TV-OLED-55', 'LG OLED evo 55', 'LG', 'televisions', 149_900, 30, 2, '55 inch OLED television.'),
  article('CONSOLE-PRO', 'PlayStation 5 Pro', 'Sony', 'consoles', 79_900, 4, 6, 'Game console; hard to come by.'),
  article(
    'ESPRESSO-LM',
    'Lelit Mara X Espresso Machine',
    'Lelit',
    'coffee machines',
    109_900,
    30,
    2,
    'Heat exchanger espresso machine.',
  ),
  article(
    'GRINDER-NICHE',
    'Niche Zero Coffee Grinder',
    'Niche',
    'coffee grinders',
    54_900,
    3,
    4,
    'Conical burr grinder; small batches.',
  ),
  article(
    'BEANS-1KG',
    'House Espresso Beans 1 kg',
    'Orderlog Roasters',
    'coffee',
    2_490,
    300,
    9,
    'Dark chocolate and hazelnut.',
  ),
]
