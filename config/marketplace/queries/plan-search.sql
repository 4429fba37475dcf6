-- The plans sold in a county, priced for a household.
--
-- Only the three oldest members under 21 are charged for; everybody of 21 or more is; nobody is older than 64. A plan
-- without a rate for any member who is charged for is not shown.
--
-- The household is worked out once, and a plan costs one index lookup per age in it. `offset 0` holds the planner to
-- that: left to join the rates freely it may read all 65 ages of each plan, and take five times as long.
with household as materialized (
  select least(age, 64) as age, count(*) as members
  from (
    select member.age, row_number() over (partition by member.age < 21 order by member.age desc) as place
    from unnest(:ages::int[]) as member(age)
  ) listed
  where age >= 21 or place <= 3
  group by least(age, 64)
)
select p.plan_id, p.plan_name, p.metal_level, p.plan_type, p.child_only_offering, p.issuer_id, i.issuer_name,
  price.premium, count(*) over () as total
from counties c
join plan_county s on s.county_fips = c.county_fips and s.plan_year = :year::int
join plans p on p.plan_id = s.plan_id and p.plan_year = s.plan_year
join metal_levels m on m.metal_level = p.metal_level
join issuers i on i.issuer_id = p.issuer_id
cross join lateral (
  select sum(rate.premium * h.members) as premium, count(*) as ages
  from household h
  cross join lateral (
    select r.premium
    from rates r
    where r.plan_id = s.plan_id and r.plan_year = s.plan_year and r.age = h.age and r.rating_area = c.rating_area
    offset 0
  ) rate
) price
where c.county_fips = :county::text
  and (:metal::text is null or p.metal_level = :metal::text)
  and price.premium is not null
  and price.ages = (select count(*) from household)
order by
  case when :sort::text = 'name' then p.plan_name end collate "C",
  case when :sort::text = 'metal' then m.sort_order end,
  price.premium,
  p.plan_id
limit :limit::int offset :offset::int
