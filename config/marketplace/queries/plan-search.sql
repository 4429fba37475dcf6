-- The plans sold in a county, priced for a household.
--
-- Charged for are all members of 21 or more, and the three oldest under 21. Members over 64 are priced as 64. A plan that lacks a
-- rate for one of these is not shown.
--
-- The household is computed once, and each plan costs one index lookup for each of its ages. `offset 0` keeps the planner to
-- that. Without it, the planner may read all 65 ages of each plan, and take five times as long.
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
