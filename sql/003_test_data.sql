-- Sample farmers to look at, for development only: `kale-backend migrate --with-test-data`.
-- Each public key is the SHA-256 of 'KALE Pool sample farmer <n>': nobody has a seed for it, so they can never farm.

INSERT INTO farmers (
    id, wallet_address, public_key, stake_percentage, harvest_after_blocks, status, request_id
) VALUES
(
    '00000000-0000-4000-8000-000000000001', 'GBD7Q25B7DZKKBQ4KXFJNVGHE7DKHOHT5QTKDSLP2NSKES7XTPSTXQDZ',
    '47f86ba1f8f2a5061c55ca96d4c727c6a3b8f3ec26a1c96fd364a24bf79be53b', 10.00, 5, 'inactive', 'sample-1'
),
(
    '00000000-0000-4000-8000-000000000002', 'GCBER3N2XZAI5YFAJWJMNL2EB65YY7CK7RWJKGPPRFUTAWCRXK7SE2OR',
    '8248edbabe408ee0a04d92c6af440fbb8c7c4afc6c9519ef8969305851babf22', 25.00, 1, 'inactive', 'sample-2'
),
(
    '00000000-0000-4000-8000-000000000003', 'GANB2EJMOZHJ67LL35FBHXRGZWNQ7WIPQKFRHCRZJ7ODOC4VBN6OXI7K',
    '1a1d112c764e9f7d6bdf4a13de26cd9b0fd90f828b138a394fdc370b950b7ceb', 50.00, 10, 'inactive', 'sample-3'
),
(
    '00000000-0000-4000-8000-000000000004', 'GBNTVUB3R26YFHILUK6ELUBTYSUPVICNVSUL75LQIEEWSX5TVTTCKWFM',
    '5b3ad03b8ebd829d0ba2bc45d033c4a8faa04daca8bff5704109695fb3ace625', 5.00, 20, 'inactive', 'sample-4'
),
(
    '00000000-0000-4000-8000-000000000005', 'GCLGRPT4DLNLFVNIIUDSUXO44G77NPWEG2XC4TAZYMJ5AVJJ4BAFZ7ED',
    '9668be7c1adab2d5a845072a5ddce1bff6bec436ae2e4c19c313d05529e0405c', 100.00, 3, 'inactive', 'sample-5'
);
